//! Models of the parts that take no lock, each alone: every order of events that loom knows of small programs.
//!
//! `make loom` runs them; [`crate::sharded`] says what they prove. The heap as a whole is modelled in `heap/tests/loom`.
//! Threads do one or two things each: what two or three CPUs can do to each other shows then, and all of it can be tried.

mod inbox;
mod leaving;
mod remote_frees;
mod visits;
