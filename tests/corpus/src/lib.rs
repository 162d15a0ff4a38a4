//! Proofs over whole folders of charts.
//!
//! [`suite`] takes every chart of a folder ([`charts`]), tries it at several sets of values ([`values`]) on every helm there is,
//! and proves of each ([`proof`]) that
//!
//! - with hardening off the hardened chart renders what the original renders,
//! - with hardening on it renders, and to what the evaluator says the rules make of the original,
//! - each pod that does not pass the Pod Security Standard "restricted" has a finding that says why.
//!
//! [`tally`] puts the results into numbers and tables. [`checkov`] has another tool look at the same charts before and after.
//! The program `quench-corpus` (see `make corpus`, `make checkov`) runs them over folders nobody here wrote; the tests run
//! them over the charts this repository has.

pub mod charts;
pub mod checkov;
pub mod helms;
pub mod proof;
pub mod suite;
pub mod tally;
pub mod values;
