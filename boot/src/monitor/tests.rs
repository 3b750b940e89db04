//! The monitor's client against a made-up QEMU at the other end of a socket.

use std::os::unix::net::UnixListener;
use std::sync::mpsc::RecvTimeoutError;

use super::*;
use crate::events::Numbered;

/// What QEMU 7.2 says first.
const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}"#;

/// A monitor, and a QEMU that says each of `answers` (several lines each) in turn: the first when it is connected to, each
/// other one for a line it gets. Returns the lines that it gets.
fn with_qemu(
    answers: &'static [&'static str],
) -> (Monitor, Receiver<Numbered>, thread::JoinHandle<Vec<String>>) {
    let (reporter, events) = Reporter::with_queue();
    let monitor = Monitor::new(reporter);
    let folder = monitor.folder.as_ref().expect("a folder");
    let listener = UnixListener::bind(socket(folder.path())).expect("can listen");
    let qemu = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("is connected to");
        let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
        let mut heard = Vec::new();
        for (number, answer) in answers.iter().enumerate() {
            if number > 0 {
                let Some(Ok(line)) = lines.next() else { break };
                heard.push(line);
            }
            writeln!(&stream, "{answer}").expect("can answer");
        }
        heard
    });
    (monitor, events, qemu)
}

/// How the next job ended.
fn result(events: &Receiver<Numbered>) -> Result<Job, String> {
    match events.recv_timeout(Duration::from_secs(60)) {
        Ok((_, Event::JobDone(job, result))) => {
            result.map(|()| job).map_err(|error| format!("{error:#}"))
        }
        other => panic!("no job done: {other:?}"),
    }
}

#[test]
fn lines_are_told_apart() {
    let parse = |line| Message::parse(line).map_err(|error| format!("{error:#}"));
    assert_eq!(parse(GREETING), Ok(Message::Greeting));
    assert_eq!(parse(r#"{"return": {}}"#), Ok(Message::Return));
    assert_eq!(
        parse(r#"{"return": {"status": "running", "singlestep": false, "running": true}}"#),
        Ok(Message::Return)
    );
    assert_eq!(
        parse(
            r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": false}}"#
        ),
        Ok(Message::Event)
    );
    assert_eq!(
        parse(
            r#"{"error": {"class": "CommandNotFound", "desc": "The command fly has not been found"}}"#
        ),
        Ok(Message::Error(
            "The command fly has not been found".to_owned()
        ))
    );
    for nonsense in ["", "hello", "[1]", "{}", r#"{"error": 5}"#, "{\"return\": "] {
        assert!(Message::parse(nonsense).is_err(), "{nonsense}");
    }
}

#[test]
fn nmis_are_injected_one_by_one_and_events_passed_over() {
    let (monitor, events, qemu) = with_qemu(&[
        GREETING,
        r#"{"return": {}}"#,
        r#"{"return": {}}"#,
        "{\"event\": \"NICE_DAY\"}\n{\"return\": {}}",
    ]);
    monitor.start(Job::Nmi(2));
    assert_eq!(result(&events), Ok(Job::Nmi(2)));
    drop(monitor);
    let heard = qemu.join().expect("no panic");
    assert_eq!(
        heard,
        [
            r#"{"arguments":{},"execute":"qmp_capabilities"}"#,
            r#"{"arguments":{},"execute":"inject-nmi"}"#,
            r#"{"arguments":{},"execute":"inject-nmi"}"#,
        ]
    );
}

#[test]
fn reboot_allows_resets_until_the_kernel_is_back() {
    let (monitor, events, qemu) = with_qemu(&[
        GREETING,
        r#"{"return": {}}"#,
        r#"{"return": {}}"#,
        "{\"return\": {}}\n{\"event\": \"RESET\"}",
        r#"{"return": {}}"#,
    ]);
    for job in [Job::Reboot, Job::EndAtReset] {
        monitor.start(job.clone());
        assert_eq!(result(&events), Ok(job));
    }
    let heard = qemu.join().expect("no panic");
    assert_eq!(
        heard[1],
        r#"{"arguments":{"reboot":"reset"},"execute":"set-action"}"#
    );
    assert_eq!(heard[2], r#"{"arguments":{},"execute":"system_reset"}"#);
    assert_eq!(
        heard[3],
        r#"{"arguments":{"reboot":"shutdown"},"execute":"set-action"}"#
    );
}

#[test]
fn refusal_says_what_qemu_said() {
    let (monitor, events, _qemu) = with_qemu(&[
        GREETING,
        r#"{"return": {}}"#,
        r#"{"error": {"class": "GenericError", "desc": "no picture today"}}"#,
    ]);
    monitor.start(Job::Screenshot(PathBuf::from("/a.png")));
    assert_eq!(
        result(&events),
        Err("`screendump` was not executed: it said: no picture today".to_owned())
    );
}

#[test]
fn monitor_that_hangs_up_costs_the_job_alone() {
    let (monitor, events, qemu) = with_qemu(&[GREETING, r#"{"return": {}}"#]);
    monitor.start(Job::Nmi(1));
    let refusal = result(&events).expect_err("nobody injects");
    assert!(refusal.contains("inject-nmi"), "{refusal}");
    // It listens no longer.
    qemu.join().expect("no panic");
    // The next one tries again, and finds nobody.
    monitor.start(Job::Nmi(1));
    assert_eq!(
        result(&events).map_err(|error| error.contains("cannot connect")),
        Err(true)
    );
}

#[test]
fn nothing_happens_without_a_job() {
    let (reporter, events) = Reporter::with_queue();
    let monitor = Monitor::new(reporter);
    let path = monitor.folder.as_ref().expect("a folder").path().to_owned();
    assert!(monitor.flags()[1].to_string_lossy().starts_with("unix:/"));
    assert!(path.is_dir());
    drop(monitor);
    assert!(!path.exists(), "the folder must go with the monitor");
    // The thread has let go of its end: it has ended.
    assert!(matches!(
        events.recv_timeout(Duration::from_secs(60)),
        Err(RecvTimeoutError::Disconnected)
    ));
}

#[test]
fn commas_in_paths_are_doubled() {
    assert_eq!(doubled_commas(Path::new("/a,b/c")), "/a,,b/c");
}
