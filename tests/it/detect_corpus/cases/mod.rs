//! The cases, by theme.

mod causes;
mod journal;
mod machines;
mod managers;
mod programs;
mod quiet;
mod systemd;
mod wordings;

use super::Case;

/// All cases.
pub fn all() -> Vec<Case> {
    let mut all = systemd::cases();
    all.extend(wordings::cases());
    all.extend(causes::cases());
    all.extend(journal::cases());
    all.extend(machines::cases());
    all.extend(quiet::cases());
    all.extend(programs::cases());
    all.extend(managers::cases());
    all
}
