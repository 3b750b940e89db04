//! The screen: a live picture of the heap on the framebuffer, and a panel for the kernel's last words.
//!
//! The boot loader leaves a framebuffer, or none; then there is no screen, and nothing else changes. What is drawn is pure
//! ([`picture`], [`panel`]: any surface, any size of it), and remembers what is on the surface, so that drawing an unchanged
//! heap costs little. Here the machine comes in: the one framebuffer, and the heap and frames to look at.
//!
//! Drawing allocates nothing, takes no lock but the heap's and the frame allocator's, and holds neither while it draws: it
//! takes numbers and a few blocks at a time, and may be interrupted anywhere.

pub mod panel;
pub mod picture;
pub mod surface;

mod classes;
mod graph;
mod history;
mod layout;
mod machine;
mod map;
mod numbers;
mod text;
mod theme;
mod tile;

#[cfg(target_os = "none")]
mod framebuffer;

#[cfg(target_os = "none")]
pub use framebuffer::{Screen, init, spawn, start, take_panel};

#[cfg(test)]
mod tests;
