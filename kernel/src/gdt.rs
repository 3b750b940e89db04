//! Segments, as far as x86-64 still has them: code and data for the kernel, and the task state segment with the stacks for
//! exceptions.

use core::mem;

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::memory::guarded_stack::{GuardedStack, NoStack};
use crate::stacks::{EXCEPTION_STACK_BYTES, ExceptionStack};

/// How many exceptions have a stack of their own.
const STACKS: usize = ExceptionStack::ALL.len();

/// What the CPU is given before there is memory.
static EARLY: Segments = Segments::new();

/// What it is given afterwards: the same, with guarded stacks. (Not the first one changed: an NMI may come between any two
/// instructions, and finds its stack in the one or in the other.)
static GUARDED: Segments = Segments::new();

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

/// Builds the tables and makes the CPU use them. Further calls load the same ones.
pub fn init() {
    EARLY.load(ExceptionStack::ALL.map(|stack| stack.early_addresses().end));
}

/// Gives the exceptions stacks with a guard below each, so that one that overflows is seen instead of running into the next.
/// Needs memory; called once.
///
/// # Errors
///
/// [`NoStack`]; the stacks stay the old ones then.
pub fn guard_exception_stacks() -> Result<(), NoStack> {
    let stacks =
        ExceptionStack::ALL.map(|stack| GuardedStack::new(stack.name(), EXCEPTION_STACK_BYTES));
    let mut tops = [0; STACKS];
    for (top, stack) in tops.iter_mut().zip(&stacks) {
        *top = stack.as_ref().map_err(|error| *error)?.top();
    }
    // The CPU has them for ever.
    mem::forget(stacks);
    GUARDED.load(tops);
    Ok(())
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
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one argument serves all five registers"
    )]
    fn load(&'static self, tops: [u64; STACKS]) {
        let task_state = self.task_state.call_once(|| task_state(tops));
        let (table, selectors) = self.table.call_once(|| {
            let mut table = GlobalDescriptorTable::new();
            let selectors = Selectors {
                code: table.append(Descriptor::kernel_code_segment()),
                data: table.append(Descriptor::kernel_data_segment()),
                task_state: table.append(Descriptor::tss_segment(task_state)),
            };
            (table, selectors)
        });
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
}

/// Makes the task state segment.
fn task_state(tops: [u64; STACKS]) -> TaskStateSegment {
    let mut task_state = TaskStateSegment::new();
    for (stack, top) in ExceptionStack::ALL.into_iter().zip(tops) {
        task_state.interrupt_stack_table[stack as usize] = VirtAddr::new(top);
    }
    task_state
}
