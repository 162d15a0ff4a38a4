//! All integration tests of Quench, in one binary: one link, and one place that knows which servers run.
//!
//! Each module holds one subject; what it needs of servers, tools and containers comes from the harness,
//! `quench_it`.

mod command_line;
mod demo;
mod demo_image;
mod demo_pods;
mod discovery_verbs;
mod engines;
mod faults;
mod fleet;
mod killed;
mod large;
mod lint;
mod passphrases;
mod piped;
mod pod_security;
mod promotions;
mod rule_verbs;
mod servers;
mod small_package;
mod transport;
mod trust;
mod verification;
