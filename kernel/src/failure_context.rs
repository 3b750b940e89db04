//! Who was running when something failed, in words. Pure: numbers and names in, text out.
#![forbid(unsafe_code)]

use core::fmt;

use crate::interrupts::vector;
use crate::stack_name::StackName;
use crate::whereabouts::Whereabouts;

/// Which CPU it was, and what it was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureContext {
    /// The number of the CPU; `None` where there is only one.
    pub cpu: Option<usize>,
    /// The vector whose handler was running; `None` in ordinary code.
    pub handler: Option<u8>,
    /// Whose turn it was on the CPU.
    pub task: StackName,
    /// Where the stack pointer was; `None` where neither a call stack nor the kernel's image is.
    pub stack: Option<Whereabouts>,
}

impl fmt::Display for FailureContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cpu) = self.cpu {
            write!(f, "on CPU {cpu}, ")?;
        }
        match self.handler {
            None => f.write_str("in ordinary code")?,
            Some(vector) => write!(
                f,
                "in the handler of interrupt {vector} ({})",
                vector::name(vector)
            )?,
        }
        write!(f, ", while {} runs", self.task)?;
        match self.stack {
            Some(Whereabouts::CallStack(name)) => write!(f, ", on the call stack `{name}`"),
            Some(Whereabouts::Guard(name)) => write!(f, ", below the call stack `{name}`"),
            Some(other) => write!(
                f,
                ", with a stack pointer that is on no call stack: {other}"
            ),
            None => f.write_str(", with a stack pointer that is on no call stack"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn contexts_name_handler_and_stack() {
        let ordinary = FailureContext {
            cpu: None,
            handler: None,
            task: "the first task".into(),
            stack: Some(Whereabouts::CallStack("boot".into())),
        };
        assert_eq!(
            ordinary.to_string(),
            "in ordinary code, while the first task runs, on the call stack `boot`"
        );
        let handler = FailureContext {
            cpu: Some(2),
            handler: Some(32),
            task: "worker 3".into(),
            stack: Some(Whereabouts::NotCanonical),
        };
        assert_eq!(
            handler.to_string(),
            "on CPU 2, in the handler of interrupt 32 (timer), while worker 3 runs, with a stack pointer that is on no call stack: \
             not an address: in neither half of the address space"
        );
        let elsewhere = FailureContext {
            stack: None,
            ..ordinary
        };
        assert_eq!(
            elsewhere.to_string(),
            "in ordinary code, while the first task runs, with a stack pointer that is on no call stack"
        );
    }
}
