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
//! [`recall`] compares the images that the ingestor's search finds with those that turning every boolean by itself brings in
//! ([`brute_force`]). The program `quench-corpus` (see `make corpus`, `make checkov`, `make recall`) runs them over folders nobody
//! here wrote; the tests run them over the charts this repository has. Long runs are remembered in a [`journal`].

pub mod brute_force;
pub mod charts;
pub mod checkov;
pub mod helms;
pub mod journal;
pub mod proof;
pub mod recall;
pub mod suite;
pub mod tally;
pub mod values;
