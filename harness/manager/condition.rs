//! `Condition…=` and `Assert…=` (systemd.unit(5), "Conditions and Asserts").

use super::interface::{Host, PathKind};
use super::loaded::UnitId;
use super::step::Step;
use crate::unit::Condition;

impl Step<'_> {
    /// Tests the unit's conditions, for a start.
    pub(super) fn test_conditions(&mut self, unit: UnitId) -> bool {
        let (met, unmet) = test(self.host, &self.unit(unit).def.conditions);
        let now = self.now;
        let this = self.unit_mut(unit);
        this.stamps.condition = Some(now);
        this.condition_result = met;
        this.unmet_conditions = unmet;
        met
    }

    /// Tests the unit's assertions, for a start.
    pub(super) fn test_asserts(&mut self, unit: UnitId) -> bool {
        let (met, unmet) = test(self.host, &self.unit(unit).def.asserts);
        let now = self.now;
        let this = self.unit_mut(unit);
        this.stamps.assert = Some(now);
        this.assert_result = met;
        this.unmet_asserts = unmet;
        met
    }
}

/// Whether the list is met: every plain condition, and one of the triggering ones if there are any. And which of
/// them were found not to hold. The last line is tested first; the first plain one that does not hold ends the test.
fn test(host: &dyn Host, list: &[Condition]) -> (bool, Vec<usize>) {
    let (met, mut unmet) = test_backwards(host, list);
    // They are shown in the order of the file.
    unmet.reverse();
    (met, unmet)
}

fn test_backwards(host: &dyn Host, list: &[Condition]) -> (bool, Vec<usize>) {
    let mut triggered = None;
    let mut unmet = Vec::new();
    for (index, condition) in list.iter().enumerate().rev() {
        let met = holds(host, condition) != condition.negate;
        if !met {
            unmet.push(index);
        }
        if condition.trigger {
            triggered = Some(triggered.unwrap_or(false) || met);
        } else if !met {
            return (false, unmet);
        }
    }
    (triggered.unwrap_or(true), unmet)
}

/// Whether the condition holds, apart from its `!`. What the incident's machine cannot tell counts as holding.
fn holds(host: &dyn Host, condition: &Condition) -> bool {
    let key = condition.key.trim_start_matches("Condition").trim_start_matches("Assert");
    let parameter = condition.parameter.as_str();
    let kind = || host.stat(parameter);
    match key {
        "PathExists" => kind().is_some(),
        "PathExistsGlob" => !host.glob(parameter).is_empty(),
        "PathIsDirectory" => matches!(kind(), Some(PathKind::Directory { .. })),
        "PathIsSymbolicLink" => matches!(kind(), Some(PathKind::Symlink)),
        "DirectoryNotEmpty" => matches!(kind(), Some(PathKind::Directory { empty: false })),
        "FileNotEmpty" => matches!(kind(), Some(PathKind::File { empty: false, .. })),
        "FileIsExecutable" => matches!(kind(), Some(PathKind::File { executable: true, .. })),
        "PathIsMountPoint" => parameter == "/",
        "PathIsReadWrite" => kind().is_some(),
        // The manager is the system's, so its user is root.
        "User" => matches!(parameter, "root" | "0" | "@system"),
        "Group" => matches!(parameter, "root" | "0"),
        "FirstBoot" | "PathIsEncrypted" | "NeedsUpdate" => false,
        "Null" => parameter.eq_ignore_ascii_case("true") || parameter == "1" || parameter == "yes",
        _ => !condition.negate,
    }
}
