//! The real binary, as an operator meets it: started as a process, asked over HTTP, told by signals.

mod database;
mod demo;
mod install;
mod logs;
mod process;
mod settings;
mod sign;
mod stop;
