//! What somebody may have meant who typed a word that is none.

/// A word further away than this is another word.
const MOST_CHANGES: usize = 5;

/// The known word that is closest to `word`: the shortest that begins with it, or else the one that takes the fewest
/// changes, exchanges of neighbours among them. Of several, the first.
pub(super) fn closest<'a>(known: impl Iterator<Item = &'a str> + Clone, word: &str) -> Option<&'a str> {
    known.clone().filter(|one| one.starts_with(word)).min_by_key(|one| one.len()).or_else(|| {
        let near = |one: &'a str| changes(one, word).map(|changes| (changes, one));
        known.filter_map(near).min_by_key(|(changes, _)| *changes).map(|(_, one)| one)
    })
}

/// How many letters have to be put in, left out, replaced or exchanged with their neighbour; `None` if too many.
fn changes(a: &str, b: &str) -> Option<usize> {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > MOST_CHANGES {
        return None;
    }
    // The rows of the table for the last two letters and for this one.
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    Some(last[b.len()]).filter(|changes| *changes <= MOST_CHANGES)
}
