//! The admin step of a fleet.
fn main() {}
