//! Segments, as far as x86-64 still has them: code and data for the kernel, and the task state segment with the stacks for
//! exceptions. Each CPU has its own.

use core::mem;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::cpu::{MOST_CPUS, Own, PerCpu};
use crate::memory::guarded_stack::{GuardedStack, NoStack};
use crate::stack_name::StackName;
use crate::stacks::{EXCEPTION_STACK_BYTES, ExceptionStack};

/// How many exceptions have a stack of their own.
const STACKS: usize = ExceptionStack::ALL.len();

/// What the first CPU is given before there is memory.
static EARLY: Segments = Segments::new();

/// What it is given afterwards: the same, with guarded stacks. (Not the first one changed: an NMI may come between any two
/// instructions, and finds its stack in the one or in the other.) The others have these from the start.
static GUARDED: PerCpu<Segments> = PerCpu::new([const { Own::new(Segments::new()) }; MOST_CPUS]);

/// Tables for the CPU, made once.
struct Segments {
    /// The task state segment: where the CPU looks up the stacks for exceptions.
    task_state: Once<TaskStateSegment>,
    /// The table of segments, and the selectors of its entries.
    table: Once<(GlobalDescriptorTable, Selectors)>,
}

/// The entries of the table.
struct Selectors {
    /// The kernel's code.
    code: SegmentSelector,
    /// The kernel's data and stack.
    data: SegmentSelector,
    /// The task state.
    task_state: SegmentSelector,
}

/// Builds the tables of the first CPU and makes it use them. Further calls load the same ones.
pub fn init() {
    EARLY.load(ExceptionStack::ALL.map(|stack| stack.early_addresses().end));
}

/// Gives the first CPU's exceptions stacks with a guard below each, so that one that overflows is seen instead of running into
/// the next. Needs memory; called once.
///
/// # Errors
///
/// [`NoStack`]; the stacks stay the old ones then.
pub fn guard_exception_stacks() -> Result<(), NoStack> {
    let tops = guarded_stacks(|stack| stack.name().into())?;
    GUARDED.of(0).load(tops);
    Ok(())
}

/// Makes the tables and guarded stacks of another CPU than the first, for it to [`load`]. Where they are made already, they stay.
///
/// # Errors
///
/// [`NoStack`]; nothing has changed then.
pub(crate) fn prepare(cpu: usize) -> Result<(), NoStack> {
    let segments = GUARDED.of(cpu);
    if segments.table.get().is_none() {
        let name = |stack: ExceptionStack| {
            StackName::from_fmt(format_args!("CPU {cpu} {}", stack.short_name()))
        };
        segments.build(guarded_stacks(name)?);
    }
    Ok(())
}

/// Makes this CPU use the tables that were [prepared](prepare) for it.
pub(crate) fn load() {
    if let Some((table, selectors)) = GUARDED.here().table.get() {
        use_table(table, selectors);
    }
}

/// Makes a guarded stack for each exception that has one, for ever, and returns where they begin.
fn guarded_stacks(name: impl Fn(ExceptionStack) -> StackName) -> Result<[u64; STACKS], NoStack> {
    let stacks =
        ExceptionStack::ALL.map(|stack| GuardedStack::new(name(stack), EXCEPTION_STACK_BYTES));
    let mut tops = [0; STACKS];
    for (top, stack) in tops.iter_mut().zip(&stacks) {
        *top = stack.as_ref().map_err(|error| *error)?.top();
    }
    // The CPU has them for ever.
    mem::forget(stacks);
    Ok(tops)
}

impl Segments {
    /// Nothing yet.
    const fn new() -> Self {
        Self {
            task_state: Once::new(),
            table: Once::new(),
        }
    }

    /// Builds the tables, with stacks for exceptions that grow down from `tops`, and makes the CPU use them.
    fn load(&'static self, tops: [u64; STACKS]) {
        let (table, selectors) = self.build(tops);
        use_table(table, selectors);
    }

    /// Builds the tables, with stacks for exceptions that grow down from `tops`.
    fn build(&'static self, tops: [u64; STACKS]) -> &'static (GlobalDescriptorTable, Selectors) {
        let task_state = self.task_state.call_once(|| task_state(tops));
        self.table.call_once(|| {
            let mut table = GlobalDescriptorTable::new();
            let selectors = Selectors {
                code: table.append(Descriptor::kernel_code_segment()),
                data: table.append(Descriptor::kernel_data_segment()),
                task_state: table.append(Descriptor::tss_segment(task_state)),
            };
            (table, selectors)
        })
    }
}

/// Makes this CPU use tables, which no other one uses.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument serves all five registers"
)]
fn use_table(table: &'static GlobalDescriptorTable, selectors: &Selectors) {
    table.load();
    // SAFETY: the selectors are those of entries of the right kind in the table just loaded.
    unsafe {
        CS::set_reg(selectors.code);
        SS::set_reg(selectors.data);
        DS::set_reg(selectors.data);
        ES::set_reg(selectors.data);
        load_tss(selectors.task_state);
    }
}

/// Makes the task state segment.
fn task_state(tops: [u64; STACKS]) -> TaskStateSegment {
    let mut task_state = TaskStateSegment::new();
    for (stack, top) in ExceptionStack::ALL.into_iter().zip(tops) {
        task_state.interrupt_stack_table[stack as usize] = VirtAddr::new(top);
    }
    task_state
}
