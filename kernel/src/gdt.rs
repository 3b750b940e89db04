//! Segments, as far as x86-64 still has them: code and data for the kernel, and the task state segment with the stacks for
//! exceptions.

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::stacks::ExceptionStack;

/// The task state segment: where the CPU looks up the stacks for exceptions.
static TASK_STATE: Once<TaskStateSegment> = Once::new();

/// The table, and the selectors of its entries.
static TABLE: Once<(GlobalDescriptorTable, Selectors)> = Once::new();

/// The entries of the table.
struct Selectors {
    /// The kernel's code.
    code: SegmentSelector,
    /// The kernel's data and stack.
    data: SegmentSelector,
    /// The task state.
    task_state: SegmentSelector,
}

/// Builds the table and makes the CPU use it. Further calls load the same one.
#[expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument serves all five registers"
)]
pub fn init() {
    let task_state = TASK_STATE.call_once(task_state);
    let (table, selectors) = TABLE.call_once(|| {
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

/// Makes the task state segment.
fn task_state() -> TaskStateSegment {
    let mut task_state = TaskStateSegment::new();
    for stack in ExceptionStack::ALL {
        task_state.interrupt_stack_table[stack as usize] = VirtAddr::new(stack.addresses().end);
    }
    task_state
}
