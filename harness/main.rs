//! The `relapse` command.

fn main() {}
