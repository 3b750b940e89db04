//! Models of the heap for many CPUs as a whole: two shards, two or three threads, a few operations each, in every order of events that
//! loom knows.
#![cfg(loom)]

mod going_home;
mod moving;
mod right_frees;
mod world;
mod wrong_frees;
