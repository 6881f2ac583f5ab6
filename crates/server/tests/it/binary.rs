//! The real binary, as an operator meets it: started as a process, asked over HTTP, told by signals.

mod admin_cli;
mod backup;
mod carriers;
mod crash;
mod crash_payments;
mod crash_pushes;
mod database;
mod demo;
mod doctor;
mod install;
mod listen;
mod logs;
mod network;
pub(crate) mod process;
mod push_cli;
mod settings;
mod sign;
mod simulator;
mod sleep;
mod stop;
mod traces;
