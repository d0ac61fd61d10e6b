//! What several takes of a case agree on.

use super::case::{Answer, Case, Message};
use super::compare;

/// Puts takes together. Moments become the earliest and the latest of them.
///
/// # Errors
///
/// In what they differ: such a case cannot be compared with anything.
pub fn agree(case: &Case, takes: &[Answer]) -> Result<Answer, String> {
    let Some((first, others)) = takes.split_first() else { return Err("there is no take".to_owned()) };
    let mut agreed = first.clone();
    for other in others {
        let mut other = other.clone();
        for ((action, mine), theirs) in case.actions.iter().zip(&mut agreed.commands).zip(&other.commands) {
            if (mine.rc, &mine.out, &mine.err) != (theirs.rc, &theirs.out, &theirs.err) {
                let said = |ended: &super::Ended| format!("{:?} {:?} {:?}", ended.rc, ended.out, ended.err);
                return Err(format!("`{}` gave {} and {}", action.line(), said(mine), said(theirs)));
            }
            mine.end_ms = mine.end_ms.zip(theirs.end_ms).map(|(mine, theirs)| mine.and(theirs));
        }
        if agreed.runs != other.runs {
            return Err(format!("the program ran {} and {} times", agreed.runs, other.runs));
        }
        let words = |answer: &Answer| answer.messages.iter().map(compare::line).collect::<Vec<_>>();
        if words(&agreed) != words(&other) || agreed.order.is_some() {
            // Units side by side log in any order: each one's own is kept.
            agreed.order = Some("per unit".to_owned());
            for answer in [&mut agreed, &mut other] {
                answer.messages.sort_by(|a, b| a.unit.cmp(&b.unit));
            }
        }
        let (mine, theirs) = (words(&agreed), words(&other));
        if let Some(at) = (0..mine.len().max(theirs.len())).find(|&at| mine.get(at) != theirs.get(at)) {
            let which = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
            return Err(format!("message {at} was `{}` and `{}`", which(&mine), which(&theirs)));
        }
        for (mine, theirs) in agreed.messages.iter_mut().zip(&other.messages) {
            mine.t_ms = mine.t_ms.and(theirs.t_ms);
        }
        let children = |messages: &[Message]| messages.iter().map(compare::line).collect::<Vec<_>>();
        if children(&agreed.child_messages) != children(&other.child_messages) {
            return Err("children said different things".to_owned());
        }
    }
    Ok(agreed)
}
