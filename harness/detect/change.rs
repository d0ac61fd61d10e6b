//! What has changed from one report to the next.

use super::report::Ended::Ongoing;
use super::report::{Loop, Report};

/// A loop that has begun or ended since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is a loop from now on.
    Began(Loop),
    /// It is one no longer.
    Ended(Loop),
}

impl Report {
    /// What has changed since an earlier report of the same input.
    pub fn since(&self, earlier: &Report) -> Vec<Change> {
        let before = |found: &Loop| {
            earlier.loops.iter().find(|known| known.subject == found.subject && known.first == found.first)
        };
        let mut changes = Vec::new();
        for found in &self.loops {
            match (before(found).map(|known| known.ended), found.ended) {
                (None, Ongoing) => changes.push(Change::Began(found.clone())),
                (None, _) => changes.extend([Change::Began(found.clone()), Change::Ended(found.clone())]),
                (Some(Ongoing), now) if now != Ongoing => changes.push(Change::Ended(found.clone())),
                (Some(was), Ongoing) if was != Ongoing => changes.push(Change::Began(found.clone())),
                _ => {}
            }
        }
        changes
    }
}
