//! The fleet: the bus with its permissions, the worker's rules, and the six services as processes.

mod bus;
mod permissions;
mod worker;
