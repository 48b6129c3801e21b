//! Mock clock, seeded chance and faulty files for tests.
#![forbid(unsafe_code)]
