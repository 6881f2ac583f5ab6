//! The admin API as operators meet it.

mod audit;
mod routes;
mod tokens;
