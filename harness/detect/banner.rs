//! Lines that programs print when they start, found by what they are like and when they come.

use std::collections::HashMap;

use regex::Regex;

use super::chain::When;
use super::fact::Fact;
use super::program::{Sound, sound};
use super::skim;
use super::subject::{Around, Kind, Over, Subject};

/// So many kinds of lines are told apart.
const KINDS: usize = 8192;
/// So many writers are.
const WRITERS: usize = 1024;
/// So many lines after a start or an end may belong to a start.
const FRESH: u8 = 6;
/// So much of a line makes its kind.
const LENGTH: usize = 240;

/// Programs with a process for each connection, command or session: theirs are no restarts.
const FORKING: [&str; 16] = [
    "cron", "crond", "sshd", "sudo", "su", "login", "postfix", "dovecot", "anacron", "atd", "systemd", "kernel",
    "dhclient", "xinetd", "vsftpd", "smbd",
];

/// A writer of lines.
#[derive(Clone, Debug, Default)]
struct Author {
    pid: Option<u32>,
    /// The PIDs before that one.
    earlier: [u32; 8],
    fresh: u8,
    /// An end was heard of since the last start.
    ended: bool,
    /// A process of it lives on while others begin.
    lives_on: bool,
    /// The kinds of lines that began its last start.
    began: Vec<u64>,
}

/// A kind of lines.
#[derive(Clone, Debug)]
struct Line {
    sound: Sound,
    found: Option<Box<Candidate>>,
}

/// A kind of lines that may be those of starts.
#[derive(Clone, Debug)]
struct Candidate {
    subject: Subject,
    strong: bool,
    author: u64,
    pid: Option<u32>,
    /// The words of the first such line; none for those that vary.
    words: Vec<Option<String>>,
    /// That line.
    text: String,
    order: u64,
}

/// A loop that a line tells of.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub over: Over,
    pub strong: bool,
    pub order: u64,
}

/// A line of a program.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    /// Its writer's name; empty where nobody is named.
    pub name: &'a str,
    pub pid: Option<u32>,
    pub text: &'a str,
    /// It tells that a living process starts others.
    pub workers: bool,
    /// It tells that an address is in use, and perhaps which port.
    pub bind: Option<Option<u16>>,
    /// The units that started last, and how often each has.
    pub units: &'a dyn Fn() -> Vec<(String, u64)>,
}

/// All that repeats.
#[derive(Clone, Debug)]
pub(super) struct Banners {
    given: Option<(Regex, Subject, Option<u32>)>,
    kinds: HashMap<u64, Line>,
    authors: HashMap<u64, Author>,
    /// Too many kinds of lines may be those of starts: others are not told apart any more.
    full: bool,
    /// Not all lines are seen: what some of them have in common tells nothing.
    pub off: bool,
}

fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

fn mix_all(hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let last = rest.iter().fold(rest.len() as u64, |last, byte| last << 8 | u64::from(*byte));
    mix(words.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word))), last)
}

fn hash(text: &str) -> u64 {
    mix_all(0xcbf2_9ce4_8422_2325, text.as_bytes())
}

/// The kind of a line: its words, without those that have a digit.
fn kind(author: u64, text: &str) -> u64 {
    text.as_bytes()[..text.len().min(LENGTH)].split(|byte| *byte == b' ').fold(author, |all, word| {
        if word.iter().any(u8::is_ascii_digit) { mix(all, 1 << 63) } else { mix_all(all, word) }
    })
}

impl Banners {
    pub(super) fn new(given: Option<Regex>) -> Self {
        let given = given.map(|regex| {
            let subject = Subject::new(regex.as_str().to_owned(), Kind::Banner { given: true });
            (regex, subject, None)
        });
        Self { given, kinds: HashMap::new(), authors: HashMap::new(), full: false, off: false }
    }

    /// Looks at a line of a program.
    pub(super) fn line(&mut self, said: Said<'_>, when: &When, around: &mut Around<'_>) {
        let Said { name, pid, text, workers, bind, units } = said;
        if let Some((regex, subject, last)) = &mut self.given {
            if regex.is_match(text) && !(pid.is_some() && *last == pid) {
                *last = pid;
                subject.take(Fact::ProgramStarts { pid: None }, None, when, around);
            }
            return;
        }
        if self.off {
            return;
        }
        let program = name.split('/').next().unwrap_or(name).trim_matches(['(', ')']);
        if FORKING.iter().any(|known| program.eq_ignore_ascii_case(known)) {
            return;
        }
        let author_key = hash(name);
        if self.authors.len() >= WRITERS && !self.authors.contains_key(&author_key) {
            self.authors.clear();
        }
        let new = || Author { fresh: FRESH, ..Author::default() };
        let author = self.authors.entry(author_key).or_insert_with(new);
        author.lives_on |= workers;
        if let Some(now) = pid
            && author.pid != pid
        {
            if author.earlier.contains(&now) {
                author.lives_on = true;
            } else {
                if let Some(before) = author.pid {
                    author.earlier.rotate_right(1);
                    author.earlier[0] = before;
                }
                author.fresh = FRESH;
                author.pid = pid;
            }
        }
        let key = kind(author_key, text);
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&key) {
            if self.full {
                return;
            }
            // Those that have come once only are no banners yet.
            self.kinds.retain(|_, line| line.found.as_ref().is_some_and(|found| found.subject.matters()));
            // Looking at all of them again and again would take for ever.
            self.full = self.kinds.len() >= KINDS / 2;
        }
        let line = self.kinds.entry(key).or_insert_with(|| {
            let sound = sound(&super::entry::start_of(text, LENGTH).to_lowercase());
            Line { sound, found: None }
        });
        if let Some(port) = bind {
            for began in std::mem::take(&mut author.began) {
                if let Some(found) = self.kinds.get_mut(&began).and_then(|line| line.found.as_mut()) {
                    found.subject.take(Fact::Bind { port }, None, when, around);
                }
            }
            author.fresh = if pid.is_none() { FRESH } else { author.fresh };
            author.ended = true;
            return;
        }
        if line.sound == Sound::End {
            author.fresh = if pid.is_none() { FRESH } else { author.fresh };
            author.ended = true;
            return;
        }
        let fresh = author.fresh > 0;
        author.fresh = author.fresh.saturating_sub(1);
        let starts = match line.sound {
            Sound::Strong => pid.is_none() || fresh,
            Sound::Weak => fresh,
            _ => fresh && pid.is_some() && author.ended,
        };
        if !starts {
            return;
        }
        let found = line.found.get_or_insert_with(|| {
            Box::new(Candidate {
                subject: Subject::new(name.to_owned(), Kind::Banner { given: false }),
                strong: line.sound == Sound::Strong,
                author: author_key,
                pid: None,
                words: words(text).map(|word| Some(word.to_owned())).collect(),
                text: super::entry::start_of(text, LENGTH).to_owned(),
                order: around.order,
            })
        });
        if pid.is_some() && found.pid == pid {
            return; // The same process says it again.
        }
        found.pid = pid;
        let mut again = words(text);
        for word in &mut found.words {
            if again.next() != word.as_deref() {
                *word = None;
            }
        }
        found.subject.has_pids |= pid.is_some();
        found.subject.take(Fact::ProgramStarts { pid: None }, None, when, around);
        found.subject.explain(&units());
        if author.began.len() < 8 && !author.began.contains(&key) {
            author.began.push(key);
        }
    }

    /// What the likeliest line of a start always has, and what it needs of the lines around it to be told; none if no line
    /// comes twice.
    pub(super) fn needle(&self) -> Option<(String, skim::Around)> {
        let candidates = self.kinds.values().filter_map(|line| line.found.as_deref());
        let likely = candidates.filter(|found| found.subject.starts() >= 2);
        // The first line of a start, if there are several.
        let best = likely.min_by_key(|found| (!found.strong, found.order))?;
        let longest = constant(best);
        let around = if best.strong { skim::Around::Nothing } else { skim::Around::Lines };
        (longest.len() >= 6).then_some((longest, around))
    }

    /// The loops that go on, by the lines that tell of them.
    pub(super) fn finish(&mut self, now: Option<i64>, around: &mut Around<'_>) -> Vec<Found> {
        let mut all = Vec::new();
        if let Some((_, mut subject, _)) = self.given.take() {
            let found = subject.finish(now, around);
            all.extend(found.into_iter().map(|over| Found { over, strong: true, order: 0 }));
        }
        for (_, line) in std::mem::take(&mut self.kinds) {
            let Some(found) = line.found else { continue };
            let found = *found;
            let lives_on = self.authors.get(&found.author).is_some_and(|author| author.lives_on);
            if lives_on {
                continue;
            }
            let mut subject = found.subject;
            if subject.is_explained() {
                continue;
            }
            if subject.name.is_empty() {
                subject.name = banner(&found.words);
            }
            for over in subject.finish(now, around) {
                all.push(Found { over, strong: found.strong, order: found.order });
            }
        }
        all.sort_by_key(|found| (!found.strong, found.order));
        all
    }
}

/// The longest part of a line that has no number and comes each time.
fn constant(found: &Candidate) -> String {
    let text = found.text.as_str();
    let (mut best, mut begin, mut end) = ("", None, 0);
    for (index, word) in words(text).enumerate() {
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        let stays = found.words.get(index).is_some_and(Option::is_some) && !word.contains(|c: char| c.is_ascii_digit());
        if stays {
            let from = *begin.get_or_insert(at);
            end = at + word.len();
            if end - from > best.len() {
                best = &text[from..end];
            }
        } else {
            begin = None;
        }
    }
    let _ = end;
    best.to_owned()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    super::entry::start_of(text, LENGTH).split_whitespace()
}

/// What a line says each time, without levels and what stands between.
fn banner(words: &[Option<String>]) -> String {
    let kept: Vec<&str> = words.iter().flatten().map(String::as_str).collect();
    let is_frame = |word: &&str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        bare.is_empty() && word.is_ascii() || super::entry::is_level(bare)
    };
    let begin = kept.iter().take_while(|word| is_frame(word)).count();
    kept[begin..].join(" ")
}

/// What of a line stays when its numbers are cut out.
pub(super) fn without_numbers(text: &str) -> String {
    let words =
        words(text).map(|word| Some(word.to_owned()).filter(|word| !word.contains(|c: char| c.is_ascii_digit())));
    banner(&words.collect::<Vec<_>>())
}
