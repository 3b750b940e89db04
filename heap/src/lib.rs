//! Heap.
#![no_std]
