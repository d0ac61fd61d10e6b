//! Command lines as getopt_long(3) reads them, with the C library's words for what is wrong.

use std::collections::VecDeque;

/// Whether an option takes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// Only attached: `--lines=3`, `-n3`.
    Optional,
}

/// One option: its long name, its letter if it has one, and what it takes.
pub(super) type Spec<T> = (&'static str, Option<char>, Takes, T);

/// Reads a command line option by option; what is no option is collected.
pub(super) struct Getopt<'a, T> {
    program: &'static str,
    specs: &'a [Spec<T>],
    args: VecDeque<String>,
    /// Letters of the current word that are still to be read.
    cluster: VecDeque<char>,
    /// Words that are no options, in order.
    pub(super) operands: Vec<String>,
    /// The long name of the option that was read last.
    pub(super) last: &'static str,
}

impl<'a, T: Copy> Getopt<'a, T> {
    pub(super) fn new(program: &'static str, specs: &'a [Spec<T>], args: &[String]) -> Self {
        Self {
            program,
            specs,
            args: args.iter().cloned().collect(),
            cluster: VecDeque::new(),
            operands: Vec::new(),
            last: "",
        }
    }

    /// The next word, if it is there: an option with an optional argument may look at it.
    pub(super) fn peek(&self) -> Option<&str> {
        if self.cluster.is_empty() { self.args.front().map(String::as_str) } else { None }
    }

    /// Takes the word that [`Getopt::peek`] showed.
    pub(super) fn skip(&mut self) {
        self.args.pop_front();
    }

    /// The next option and its argument, `None` at the end; the error is the line for standard error.
    pub(super) fn next(&mut self) -> Option<Result<(T, Option<String>), String>> {
        if let Some(letter) = self.cluster.pop_front() {
            return Some(self.short(letter));
        }
        loop {
            let word = self.args.pop_front()?;
            if word == "--" {
                self.operands.extend(self.args.drain(..));
                return None;
            }
            if let Some(long) = word.strip_prefix("--") {
                return Some(self.long(long));
            }
            match word.strip_prefix('-') {
                Some(letters) if !letters.is_empty() => {
                    self.cluster = letters.chars().collect();
                    return self.cluster.pop_front().map(|letter| self.short(letter));
                }
                _ => self.operands.push(word),
            }
        }
    }

    fn short(&mut self, letter: char) -> Result<(T, Option<String>), String> {
        let Some(&(name, _, takes, id)) = self.specs.iter().find(|(_, short, ..)| *short == Some(letter)) else {
            return Err(format!("{}: invalid option -- '{letter}'", self.program));
        };
        self.last = name;
        let attached = |cluster: &mut VecDeque<char>| {
            let rest: String = cluster.drain(..).collect();
            (!rest.is_empty()).then_some(rest)
        };
        match takes {
            Takes::Nothing => Ok((id, None)),
            Takes::Optional => Ok((id, attached(&mut self.cluster))),
            Takes::Value => match attached(&mut self.cluster).or_else(|| self.args.pop_front()) {
                Some(value) => Ok((id, Some(value))),
                None => Err(format!("{}: option requires an argument -- '{letter}'", self.program)),
            },
        }
    }

    fn long(&mut self, word: &str) -> Result<(T, Option<String>), String> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let candidates: Vec<&Spec<T>> = self.specs.iter().filter(|(long, ..)| long.starts_with(name)).collect();
        let exact = candidates.iter().find(|(long, ..)| *long == name).copied();
        let (long, _, takes, id) = match (exact, candidates.as_slice()) {
            (Some(spec), _) => *spec,
            (None, [spec]) => **spec,
            (None, []) => return Err(format!("{}: unrecognized option '--{name}'", self.program)),
            (None, many) => {
                let names: String = many.iter().map(|(long, ..)| format!(" '--{long}'")).collect();
                return Err(format!("{}: option '--{name}' is ambiguous; possibilities:{names}", self.program));
            }
        };
        self.last = long;
        match (takes, value) {
            (Takes::Nothing, Some(_)) => Err(format!("{}: option '--{long}' doesn't allow an argument", self.program)),
            (Takes::Value, None) => match self.args.pop_front() {
                Some(value) => Ok((id, Some(value))),
                None => Err(format!("{}: option '--{long}' requires an argument", self.program)),
            },
            (_, value) => Ok((id, value)),
        }
    }
}
