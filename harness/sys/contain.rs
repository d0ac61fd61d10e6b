//! What the processes of a run may do to others (landlock(7)).

use landlock::{Ruleset, RulesetAttr, Scope};

/// From here on neither the calling thread nor what it starts can signal a process that is not a descendant of its
/// own, whatever number it names. Linux 6.12 and later; `false` where the kernel cannot.
///
/// What starts here can no longer gain privileges by executing a set-user-ID program either.
pub fn signals() -> bool {
    let contained = Ruleset::default().scope(Scope::Signal).and_then(Ruleset::create);
    contained
        .and_then(landlock::RulesetCreated::restrict_self)
        .is_ok_and(|status| status.ruleset != landlock::RulesetStatus::NotEnforced)
}
