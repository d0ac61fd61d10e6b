//! The words of programs: uvicorn, gunicorn, and what others print when they start, serve, end or cannot bind.

use std::sync::LazyLock;

use memchr::memmem;

use super::fact::Fact;
use super::search::Search;

/// What a line of a program says, if it is one of those that are known.
pub(super) fn read(text: &str) -> Option<Fact> {
    let words = Words::of(text.as_bytes());
    if words.0 == 0 {
        return None;
    }
    if words.have(Words::TAKEN)
        && let Some(fact) = bind(text)
    {
        return Some(fact);
    }
    if words.have(Words::PROCESS) {
        static SERVER: LazyLock<memmem::Finder<'static>> =
            LazyLock::new(|| memmem::Finder::new("Started server process ["));
        let pid = |behind: usize| {
            let rest = text[behind..].split(']').next()?;
            rest.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok()
        };
        if let Some(pid) = SERVER.find(text.as_bytes()).and_then(|at| pid(at + SERVER.needle().len())) {
            return Some(Fact::ProgramStarts { pid: Some(pid) });
        }
        let behind = |word: &str| Some(text.find(word)? + word.len());
        let master = behind("Started parent process [").and_then(pid);
        if let Some(pid) = master.or_else(|| behind("Started reloader process [").and_then(pid)) {
            return Some(Fact::MasterStarts { pid: Some(pid) });
        }
        if has(text, "Finished server process [") {
            return Some(Fact::Exited(None));
        }
        if has(text, "Waiting for child process [") || has(text, "Child process [") {
            return Some(Fact::HasWorkers);
        }
    }
    if words.have(Words::DOES)
        && (has(text, "unning on http") || has(text, "istening at: ") || has(text, "unning on socket"))
    {
        return Some(Fact::Serves);
    }
    if words.have(Words::APPLICATION)
        && (has(text, "plication startup failed") || has(text, "plication shutdown complete"))
    {
        return Some(Fact::Exited(None));
    }
    if words.have(Words::DOES) && has(text, "tarting gunicorn ") {
        return Some(Fact::MasterStarts { pid: None });
    }
    if words.have(Words::DOES | Words::LIMIT)
        && (has(text, "ooting worker with pid") || has(text, "Maximum request limit of"))
    {
        return Some(Fact::HasWorkers);
    }
    if words.have(Words::DOES) && (has(text, "Handling signal: ") || text.ends_with("Shutting down")) {
        return Some(Fact::Leaves);
    }
    None
}

/// Which of the words that [`read`] and [`bind`] look for a line has: a cheap refusal, as nearly all lines are requests.
#[derive(Clone, Copy)]
struct Words(u8);

impl Words {
    const PROCESS: u8 = 1;
    const APPLICATION: u8 = 2;
    const LIMIT: u8 = 4;
    /// Of [`bind`].
    const TAKEN: u8 = 8;
    /// Of what somebody does.
    const DOES: u8 = 16;

    /// The words, and which of these a line with it has.
    const ALL: [(u8, &str); 13] = [
        (Words::PROCESS, "process ["),
        (Words::APPLICATION, "plication s"),
        (Words::LIMIT, "Maximum request limit of"),
        (Words::TAKEN, " in use"),
        (Words::TAKEN, " already "),
        (Words::TAKEN, "EADDRINUSE"),
        (Words::TAKEN, "nly one usage of each socket address"),
        (Words::DOES, "unning on "),
        (Words::DOES, "istening at: "),
        (Words::DOES, "tarting gunicorn "),
        (Words::DOES, "ooting worker with pid"),
        (Words::DOES, "Handling signal: "),
        (Words::DOES, "Shutting down"),
    ];

    fn have(self, any: u8) -> bool {
        self.0 & any != 0
    }

    fn of(line: &[u8]) -> Words {
        let mut found = 0;
        WORDS.each(line, |_, word| found |= Words::ALL[word].0);
        Words(found)
    }
}

static WORDS: LazyLock<Search> = LazyLock::new(|| Search::new(Words::ALL.map(|(_, word)| word)));

/// The places in some lines where [`read`] may find something, in order.
pub(super) fn places(lines: &[u8]) -> Vec<usize> {
    WORDS.places(lines)
}

pub(super) fn has(text: &str, word: &str) -> bool {
    memmem::find(text.as_bytes(), word.as_bytes()).is_some()
}

/// An address that is taken, in the words of all.
pub(super) fn bind(text: &str) -> Option<Fact> {
    static USED: LazyLock<[memmem::Finder<'static>; 2]> =
        LazyLock::new(|| [memmem::Finder::new(" in use"), memmem::Finder::new("ddress already in use")]);
    let bytes = text.as_bytes();
    // `in use` and `already allocated` have this in common, and few other lines do.
    let at = USED[0]
        .find(bytes)
        .or_else(|| memmem::find(bytes, b" already "))
        .or_else(|| memmem::find(bytes, b"EADDRINUSE"))
        .or_else(|| memmem::find(bytes, b"nly one usage of each socket address"))?;
    let known =
        ["EADDRINUSE", "onnection in use:", "port is already allocated", "nly one usage of each socket address"];
    let known = USED[1].find(bytes).is_some() || known.iter().any(|word| has(text, word));
    let port = named(text);
    if !known {
        // `Port 8080 was already in use`, `port 5000 is in use`.
        let port = port?;
        let number = port.to_string();
        let behind = text[..at].trim_end_matches(" already").trim_end_matches(" is").trim_end_matches(" was");
        let ours = behind.ends_with(&number) && ends_with_port(&behind[..behind.len() - number.len()]);
        return ours.then_some(Fact::Bind { port: Some(port) });
    }
    Some(Fact::Bind { port: port.or_else(|| address(text)) })
}

fn ends_with_port(text: &str) -> bool {
    let text = text.trim_end_matches([' ', ':', '#', '=']);
    text.len() >= 4 && text.is_char_boundary(text.len() - 4) && text[text.len() - 4..].eq_ignore_ascii_case("port")
}

/// `port 8000`, `port: 8000`, `port=8000`.
fn named(text: &str) -> Option<u16> {
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'p', b'P', bytes).find_map(|at| {
        let is_port = bytes.get(at..at + 4).is_some_and(|word| word.eq_ignore_ascii_case(b"port"));
        if !is_port || at > 0 && bytes[at - 1].is_ascii_alphanumeric() {
            return None;
        }
        let rest = text[at + 4..].trim_start_matches([' ', ':', '=', '#']);
        number(rest)
    })
}

/// The digits that a text begins with, if they are a port.
fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 5 {
        return None;
    }
    text[..digits].parse().ok().filter(|port| *port != 0)
}

/// `('0.0.0.0', 8000)`, `0.0.0.0:8000`, `[::]:8000`, `:::3000`, `*:8000`; not a time of day.
fn address(text: &str) -> Option<u16> {
    if let Some(at) = memmem::find(text.as_bytes(), b"', ")
        && let Some(port) = number(&text[at + 3..])
    {
        return Some(port);
    }
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices(':') {
        let Some(port) = text.get(at + 1..).and_then(number) else { continue };
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let after = bytes.get(at + 1 + digits).copied().unwrap_or(b' ');
        // `:7070: bind` is a port, `12:28:18` a time.
        let goes_on = after == b':' && bytes.get(at + 2 + digits).is_some_and(u8::is_ascii_digit);
        let before = &text[..at];
        let host = before.rsplit([' ', '"', '\'', '(', '/', '=', '<']).next().unwrap_or_default();
        let dotted = host.split('.').count() == 4 && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let wide =
            matches!(host, "*" | "::" | "[::]" | "localhost" | "" | ":") || host.ends_with(']') || host.contains("::");
        if (dotted || wide || host.contains('.'))
            && !goes_on
            && after != b'.'
            && !(host.is_empty() && at > 0 && bytes[at - 1] != b' ')
        {
            return Some(port);
        }
    }
    None
}

/// Words of a program's start, strong enough without a PID.
const STRONG: [&str; 16] = [
    "on startup",
    "starting up",
    "start-up",
    "startup",
    "server started",
    "booting",
    "bootstrap",
    "application started",
    "starting application",
    "starting server",
    "starting service",
    "initializing application",
    "launching",
    "starting v",
    " started in ",
    "service started",
];
/// Words of a start that need a PID or an end beside them.
const WEAK: [&str; 8] = ["start", "boot", "init", "launch", "listening", "version", "ready", "running"];
/// Words of an end.
const END: [&str; 12] = [
    "shutdown",
    "shutting down",
    "exiting",
    "terminated",
    "traceback (most recent",
    "panic",
    "fatal",
    "segmentation fault",
    "aborting",
    "uncaught",
    "unhandled",
    "core dumped",
];

/// How much a line sounds like the start of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sound {
    Nothing,
    Weak,
    Strong,
    End,
}

/// What a line sounds like; `lower` is it in small letters.
pub(super) fn sound(lower: &str) -> Sound {
    let any = |words: &[&str]| words.iter().any(|word| has(lower, word));
    // `restart` is no start.
    let begins = |word: &&str| {
        lower.match_indices(*word).any(|(at, _)| !lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
    };
    if any(&END) {
        Sound::End
    } else if any(&STRONG) {
        Sound::Strong
    } else if WEAK.iter().any(begins) {
        Sound::Weak
    } else {
        Sound::Nothing
    }
}
