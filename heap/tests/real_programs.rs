//! The heap as the `malloc` of programs that have nothing to do with it: the example `malloc`, loaded under them.
//!
//! Each program runs twice, in a folder of its own: with its own `malloc` and with this heap. Both must print the same and
//! end in the same way. Under the heap, every process checks the whole heap when it exits, and writes down how many
//! allocations it has made, so that a run that has not used the heap does not count.
//!
//! A program that this machine does not have is skipped, with a line that says so.
#![cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]

use core::time::Duration;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Instant, SystemTime};

/// The longest that a run may take, before it counts as one that hangs.
const LIMIT: Duration = Duration::from_secs(180);

/// The programs that the tests run. One of them at least must be here.
const PROGRAMS: [&str; 13] = [
    "sh", "python3", "git", "cc", "c++", "sort", "awk", "sed", "tar", "gzip", "perl", "sqlite3",
    "rustc",
];

/// Returns the newest time of change among `path` and what lies in it.
fn newest_change(path: &Path) -> SystemTime {
    let metadata = fs::metadata(path).expect("the crate's sources are here");
    let own = metadata.modified().expect("Linux knows the time");
    if metadata.is_file() {
        return own;
    }
    let entries = fs::read_dir(path).expect("it is a folder");
    entries
        .map(|entry| newest_change(&entry.expect("it can be read").path()))
        .fold(own, SystemTime::max)
}

/// Returns the path of the heap as a shared library. `cargo test` has built it before; `cargo test --test real_programs`
/// builds no examples, so it is done here if the library is missing or older than the heap.
fn shared_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let this = std::env::current_exe().expect("Linux knows it");
        // target/debug/deps/real_programs-…
        let folder = this.parent().and_then(Path::parent).expect("two above");
        let library = folder.join("examples/libmalloc.so");
        let heap = Path::new(env!("CARGO_MANIFEST_DIR"));
        let newest = newest_change(&heap.join("src")).max(newest_change(&heap.join("examples")));
        let built = fs::metadata(&library).and_then(|metadata| metadata.modified());
        if !built.is_ok_and(|built| built >= newest) {
            build(folder);
        }
        assert!(
            library.is_file(),
            "{} was not built: is the example `malloc` a cdylib?",
            library.display()
        );
        library
    })
}

/// Builds the example into `folder`: that of a profile, in Cargo's folder for all that is built.
fn build(folder: &Path) {
    let name = folder.file_name().and_then(|name| name.to_str());
    let profile = match name.expect("a profile's name") {
        "debug" => "dev",
        name => name,
    };
    // From outside the workspace, whose Cargo settings are about the kernel's target.
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--example", "malloc"])
        .args(["--profile", profile])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .arg("--target-dir")
        .arg(folder.parent().expect("one above"))
        .current_dir("/")
        .status();
    let status = status.expect("Cargo built this test and can be started");
    assert!(status.success(), "the example `malloc` cannot be built");
}

/// Returns whether the program is on this machine, and works.
fn is_here(program: &str) -> bool {
    let asked = match program {
        // Not all of these have a version to ask for.
        "sh" => vec!["-c", ":"],
        "awk" => vec!["BEGIN { exit }"],
        "seq" => vec!["1"],
        _ => vec!["--version"],
    };
    let mut command = Command::new(program);
    command.args(asked).stdin(Stdio::null());
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// What came of a run.
#[derive(Debug)]
struct Outcome {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// A shell script, and what it needs.
struct Script {
    /// The name of its folder.
    name: &'static str,
    /// The programs that must be here.
    programs: &'static [&'static str],
    /// What the shell does.
    text: &'static str,
    /// Files that lie in the folder: names and contents.
    files: Vec<(&'static str, String)>,
}

impl Script {
    fn new(name: &'static str, programs: &'static [&'static str], text: &'static str) -> Self {
        Self {
            name,
            programs,
            text,
            files: Vec::new(),
        }
    }

    /// Adds a file to the folder.
    fn with(mut self, name: &'static str, contents: impl Into<String>) -> Self {
        self.files.push((name, contents.into()));
        self
    }

    /// Returns whether all that is needed is here, and says so if not.
    fn can_run(&self) -> bool {
        let missing = self.programs.iter().find(|program| !is_here(program));
        if let Some(missing) = missing {
            let line = format!("skipped: {}: there is no {missing} here", self.name);
            // Not by `println`, which is shown only when a test fails.
            writeln!(io::stderr(), "{line}").expect("there is somebody to read it");
        }
        missing.is_none()
    }

    /// Makes the script's folder for runs of one `kind`, with nothing in it but the files.
    fn folder(&self, kind: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real_programs");
        let folder = root.join(self.name).join(kind);
        let work = folder.join("work");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => fs::create_dir_all(&work).expect("it can be made"),
        }
        for (name, contents) in &self.files {
            fs::write(work.join(name), contents).expect("it can be written");
        }
        folder
    }

    /// Returns the command that runs the script in `folder`, with surroundings that are the same everywhere.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-e", "-c", self.text])
            .current_dir(folder.join("work"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("TMPDIR", ".")
            .env("PYTHONHASHSEED", "0")
            .env("PERL_HASH_SEED", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("LD_PRELOAD");
        command
    }

    /// Runs the script with each program's own `malloc`.
    fn run_alone(&self) -> Outcome {
        let folder = self.folder("alone");
        run(&mut self.command(&folder), &folder)
    }

    /// Runs the script with this heap, and returns what the processes wrote down.
    fn run_on_the_heap(&self, checked: bool) -> (Outcome, Vec<Numbers>) {
        let folder = self.folder("on_the_heap");
        let notes = folder.join("statistics");
        let mut command = self.command(&folder);
        command
            .env("LD_PRELOAD", shared_library())
            .env("STACK_ALLOC_MALLOC_CHECK", if checked { "1" } else { "0" })
            .env("STACK_ALLOC_MALLOC_STATISTICS", &notes);
        let outcome = run(&mut command, &folder);
        // None is there when no process came to its end.
        let notes = fs::read_to_string(notes).unwrap_or_default();
        (outcome, notes.lines().map(Numbers::parse).collect())
    }

    /// Asserts that the script ends well, and does and prints the same on the heap, and that each of the programs in `tested`
    /// has used the heap. Returns the numbers of all processes; none when the script cannot run here.
    #[track_caller]
    fn assert_alike(&self, tested: &[&str]) -> Vec<Numbers> {
        if !self.can_run() {
            return Vec::new();
        }
        let alone = self.run_alone();
        assert!(
            alone.status.success(),
            "it fails without the heap: {alone:#?}"
        );
        let (outcome, numbers) = self.run_on_the_heap(true);
        assert_eq!(outcome.status, alone.status, "{outcome:#?}");
        assert!(
            outcome.stdout == alone.stdout,
            "it prints something else:\n{outcome:#?}\nand not\n{alone:#?}"
        );
        assert!(!alone.stdout.is_empty(), "it prints nothing to compare");
        for program in tested {
            let used = numbers.iter().any(|process| process.is_at_work(program));
            assert!(used, "{program} has not used the heap: {numbers:#?}");
        }
        numbers
    }
}

/// What one process wrote down.
#[derive(Debug)]
struct Numbers {
    program: String,
    allocations: u64,
    frees: u64,
    failures: u64,
}

impl Numbers {
    /// Reads a line: `sort allocations=12 frees=3 failures=0 …`. A name may have spaces.
    #[track_caller]
    fn parse(line: &str) -> Self {
        let (program, _) = line.split_once(" allocations=").expect("a line of numbers");
        let number = |name: &str| {
            let value = line.split(' ').find_map(|word| word.strip_prefix(name));
            value
                .and_then(|value| value.parse().ok())
                .expect("a number")
        };
        Self {
            program: program.to_owned(),
            allocations: number("allocations="),
            frees: number("frees="),
            failures: number("failures="),
        }
    }

    /// Returns whether this is a process of `program`, and has allocated and freed. The name may go on with a version.
    fn is_at_work(&self, program: &str) -> bool {
        let is_sound = 0 < self.frees && self.frees <= self.allocations;
        self.program.starts_with(program) && is_sound
    }
}

/// Runs `command`, with its output in files of `folder`, and waits for it. Kills it and its children when it hangs.
#[track_caller]
fn run(command: &mut Command, folder: &Path) -> Outcome {
    let [out, err] = ["stdout", "stderr"].map(|name| folder.join(name));
    let file = |path: &Path| File::create(path).expect("it can be made");
    let child = command
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .process_group(0)
        .spawn();
    let status = wait(child.expect("there is a shell"));
    let text = |path: &Path| {
        let bytes = fs::read(path).expect("it was just written");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let outcome = |status| Outcome {
        status,
        stdout: text(&out),
        stderr: text(&err),
    };
    match status {
        Ok(status) => outcome(status),
        Err(status) => panic!("it hangs: {:#?}", outcome(status)),
    }
}

/// Waits for the leader of a group of processes. An error when the group had to be killed.
fn wait(mut child: Child) -> Result<ExitStatus, ExitStatus> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("it is a child") {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let group = i32::try_from(child.id()).expect("Linux numbers processes with an `i32`");
    // SAFETY: the group is that of the child, which nobody has waited for yet.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    Err(child.wait().expect("it is a child"))
}

#[test]
fn one_of_the_programs_is_here() {
    assert!(
        PROGRAMS.iter().any(|program| is_here(program)),
        "none of {PROGRAMS:?} is on this machine, so that these tests have tested nothing"
    );
}

#[test]
fn python_builds_collections() {
    Script::new(
        "python_collections",
        &["python3"],
        "python3 use_collections.py",
    )
    .with(
        "use_collections.py",
        include_str!("real_programs/use_collections.py"),
    )
    .assert_alike(&["python"]);
}

#[test]
fn python_takes_every_object_from_malloc() {
    // By default CPython asks `malloc` only for what is larger than 512 bytes.
    let script = "PYTHONMALLOC=malloc python3 use_collections.py";
    let numbers = Script::new("python_malloc", &["python3"], script)
        .with(
            "use_collections.py",
            include_str!("real_programs/use_collections.py"),
        )
        .assert_alike(&["python"]);
    if let Some(most) = numbers.iter().map(|process| process.allocations).max() {
        assert!(most > 1_000_000, "Python has asked only {most} times");
    }
}

#[test]
fn git_keeps_a_history() {
    let script = r#"
        export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
        git --version
        git init --quiet --initial-branch=trunk repository && cd repository
        git config user.name somebody && git config user.email somebody@example.com
        for number in 1 2 3 4 5 6; do
            mkdir -p "folder$number"
            for file in 1 2 3 4 5 6 7 8; do
                seq $((number * file * 40)) >"folder$number/$file"
                seq $((number * 10)) >>folder1/shared
            done
            git add . && git commit --quiet --message "commit $number"
        done
        git checkout --quiet -b branch HEAD~2 && seq 99 >other && git add other && git commit --quiet -m other
        git checkout --quiet trunk && git merge --quiet --no-edit branch
        git log --graph --stat | cat
        git gc --quiet --aggressive
        git fsck --full --strict
        git grep --count 77 && git blame folder1/shared | tail -n 3
        git archive HEAD | cksum
    "#;
    Script::new("git", &["git", "seq", "cksum"], script).assert_alike(&["git"]);
}

#[test]
fn c_compiler_compiles_what_then_uses_all_of_malloc() {
    let script =
        "cc -O2 -Wall -o interface interface.c -pthread && cksum <interface && ./interface";
    let numbers = Script::new("interface", &["cc", "cksum"], script)
        .with("interface.c", include_str!("real_programs/interface.c"))
        .assert_alike(&["cc", "interface"]);
    for process in numbers {
        // It asks for more than there is; the compiler does not.
        let is_refused = process.program == "interface";
        assert_eq!(process.failures > 0, is_refused, "{process:?}");
    }
}

#[test]
fn cpp_compiler_compiles_containers() {
    let script = "c++ -std=c++17 -O1 -o containers containers.cpp && ./containers";
    Script::new("containers", &["c++"], script)
        .with(
            "containers.cpp",
            include_str!("real_programs/containers.cpp"),
        )
        .assert_alike(&["c++", "containers"]);
}

#[test]
fn rust_compiler_compiles_and_links() {
    let source = r#"
        use std::collections::BTreeMap;
        fn main() {
            let squares: BTreeMap<u64, String> = (0..2000).map(|n| (n * n % 1009, n.to_string())).collect();
            let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(move || vec![n; 1000 << n])).collect();
            let sum: usize = threads.into_iter().map(|thread| thread.join().unwrap().iter().sum::<usize>()).sum();
            println!("{} {sum} {:?}", squares.len(), squares.last_key_value());
        }
    "#;
    // The compiler itself may bring its own `malloc`; what it links with, and what it has compiled, do not.
    let script =
        "rustc --version && rustc --edition 2021 -C debuginfo=0 -o squares squares.rs && ./squares";
    Script::new("squares", &["rustc", "cc"], script)
        .with("squares.rs", source)
        .assert_alike(&["cc", "squares"]);
}

/// Returns 50,000 lines that look random.
fn lines() -> String {
    let line = |number: u64| {
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        format!("{:x} word{} {number}\n", noise, noise % 977)
    };
    (0..50_000).map(line).collect()
}

#[test]
fn sort_sorts_fifty_thousand_lines() {
    let script = "
        sort lines | cksum
        sort -k2,2 -k3n lines | tail -n 3
        sort --parallel=4 -S 512k -r lines | cksum
        sort -u -k2,2 lines | wc -l
    ";
    Script::new("sort", &["sort", "cksum", "wc", "tail"], script)
        .with("lines", lines())
        .assert_alike(&["sort"]);
}

#[test]
fn awk_counts_words() {
    let script = r#"
        awk '{ count[$2]++; sum += $3; text = text substr($1, 1, 2) }
             END { for (word in count) print word, count[word] | "sort"; close("sort"); print sum, length(text) }' lines
    "#;
    Script::new("awk", &["awk", "sort"], script)
        .with("lines", lines())
        .assert_alike(&["awk"]);
}

#[test]
fn sed_rewrites_lines() {
    let script = r"
        sed -E 's/([0-9a-f]+) (word[0-9]+)/\2 = \1/; /7$/d; $!N; y/abc/xyz/' lines | cksum
        sed -n 'H; ${x; s/\n/,/g; p}' lines | wc -c
    ";
    Script::new("sed", &["sed", "cksum", "wc"], script)
        .with("lines", lines())
        .assert_alike(&["sed"]);
}

/// A script that packs and unpacks a folder.
const PACKING: &str = "
    mkdir folder && cp lines folder/first && gzip -n -9 -c lines >folder/second && mkdir folder/empty
    tar --sort=name --mtime=@0 --owner=0 --group=0 -cf packed.tar folder
    gzip -n packed.tar && cksum <packed.tar.gz
    mkdir unpacked && tar -xzf packed.tar.gz -C unpacked && tar -tzf packed.tar.gz
    cmp lines unpacked/folder/first && gzip -dc unpacked/folder/second | cmp - lines && echo the same
";

#[test]
fn tar_packs_and_unpacks() {
    Script::new("tar", &["tar", "gzip", "cksum", "cmp"], PACKING)
        .with("lines", lines())
        .assert_alike(&["tar"]);
}

#[test]
fn gzip_packs_and_unpacks() {
    Script::new("gzip", &["gzip", "tar", "cksum", "cmp"], PACKING)
        .with("lines", lines())
        .assert_alike(&["gzip"]);
}

#[test]
fn perl_fills_hashes() {
    let script = r#"
        perl -ne 'chomp; @w = split; push @{$h{$w[1]}}, [@w]; $s .= join("-", reverse @w);
            END { print scalar(keys %h), " ", length($s), " ", unpack("%32C*", $s), "\n";
                  print join(",", map { scalar @{$h{$_}} } (sort keys %h)[0..9]), "\n" }' lines
    "#;
    Script::new("perl", &["perl"], script)
        .with("lines", lines())
        .assert_alike(&["perl"]);
}

#[test]
fn sqlite_answers_queries() {
    let script = r#"
        sqlite3 base '
            create table t(id integer primary key, word text, data blob);
            with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
                insert into t select i, "w" || (i * 7919 % 997), zeroblob(i % 3000) from n;
            create index words on t(word);
            delete from t where id % 7 = 0;
            update t set word = word || "x" where id % 5 = 0;
            select count(*), sum(length(data)), max(word) from t;
            select word, count(*) c, group_concat(id) from t group by word order by c desc, word limit 3;
            vacuum; pragma integrity_check;'
    "#;
    Script::new("sqlite", &["sqlite3"], script).assert_alike(&["sqlite"]);
}

/// Has the shell make a mistake with the heap, by a program in C, and returns what came of it. `None` without a compiler.
#[track_caller]
fn mistake(name: &'static str, text: &'static str, checked: bool) -> Option<Outcome> {
    let script = Script::new(name, &["cc"], text)
        .with("mistakes.c", include_str!("real_programs/mistakes.c"));
    script.can_run().then(|| script.run_on_the_heap(checked).0)
}

/// Asserts that the program was aborted with `sentence`.
#[track_caller]
fn assert_ended(outcome: Option<Outcome>, sentence: &str) {
    let Some(outcome) = outcome else {
        return;
    };
    assert_eq!(outcome.status.signal(), Some(libc::SIGABRT), "{outcome:#?}");
    let line = outcome.stderr.lines().find(|line| line.contains(sentence));
    assert!(line.is_some(), "no word of {sentence:?} in {outcome:#?}");
}

#[test]
fn a_double_free_ends_the_program() {
    let script = "cc -w -o mistakes mistakes.c; exec ./mistakes 'double free'";
    let outcome = mistake("double_free", script, false);
    assert_ended(outcome, "is free already");
}

#[test]
fn an_interior_free_ends_the_program() {
    let script = "cc -w -o mistakes mistakes.c; exec ./mistakes 'interior free'";
    let outcome = mistake("interior_free", script, false);
    assert_ended(outcome, "malloc has not returned this pointer");
}

#[test]
fn a_foreign_free_ends_the_program() {
    let script = "cc -w -o mistakes mistakes.c; exec ./mistakes 'foreign free'";
    let outcome = mistake("foreign_free", script, false);
    assert_ended(outcome, "it was not handed out here");
}

#[test]
fn resizing_what_was_freed_ends_the_program() {
    let script = "cc -w -o mistakes mistakes.c; exec ./mistakes 'resized after free'";
    let outcome = mistake("resized_after_free", script, false);
    assert_ended(outcome, "is free already");
}

#[test]
fn a_signal_handler_that_allocates_does_not_wait_for_ever() {
    let script = "cc -w -o mistakes mistakes.c; exec ./mistakes 'handler that allocates'";
    let outcome = mistake("handler", script, false);
    assert_ended(outcome, "a thread that is in the heap enters it again");
}

#[test]
fn an_overwritten_header_is_found_at_the_exit() {
    let script = "cc -w -o mistakes mistakes.c; exec ./mistakes 'overwritten header'";
    if let Some(outcome) = mistake("unchecked", script, false) {
        assert!(outcome.status.success(), "{outcome:#?}");
    }
    let outcome = mistake("overwritten_header", script, true);
    assert_ended(outcome, "the heap is corrupt");
}
