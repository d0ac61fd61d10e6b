//! journalctl's command line (journalctl(1)).

use regex::bytes::Regex;

use crate::ctl::Output;
use crate::ctl::getopt::{Getopt, Spec, Takes};
use crate::journal::{Format, parse_timestamp};
use crate::time::IncidentTime;
use crate::unit::syslog::FACILITIES;

/// How many lines to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lines {
    #[default]
    All,
    /// The last so many.
    Last(u64),
    /// The first so many: `+N`, from 254 on.
    First(u64),
}

/// Which boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BootChoice {
    /// 0 the last, -1 the one before, 1 the first.
    Offset(i64),
    /// Relative to the boot of this ID.
    Id(String, i64),
}

/// What is asked for instead of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Show,
    ListBoots,
    FieldNames,
    FieldValues,
}

/// The command line, read.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) action: Action,
    pub(super) field: String,
    pub(super) format: Format,
    pub(super) output_fields: Vec<String>,
    pub(super) lines: Lines,
    pub(super) lines_given: bool,
    pub(super) no_tail: bool,
    pub(super) follow: bool,
    pub(super) reverse: bool,
    pub(super) quiet: bool,
    pub(super) all: bool,
    pub(super) merge: bool,
    pub(super) no_hostname: bool,
    pub(super) truncate_newline: bool,
    pub(super) show_cursor: bool,
    pub(super) kernel: bool,
    pub(super) boot: Option<BootChoice>,
    pub(super) units: Vec<String>,
    pub(super) identifiers: Vec<String>,
    pub(super) excluded_identifiers: Vec<String>,
    pub(super) facilities: Vec<u8>,
    /// Bit N set: priority N is shown. `None`: every record, with or without priority.
    pub(super) priorities: Option<u8>,
    pub(super) grep: Option<Regex>,
    pub(super) since: Option<IncidentTime>,
    pub(super) until: Option<IncidentTime>,
    pub(super) cursor: Option<(String, bool)>,
    pub(super) matches: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opt {
    Help,
    Version,
    /// Taken, without effect: there is no pager, no colour, one time zone.
    Ignored,
    /// Refused, for the reason in [`REASONS`].
    Refused(usize),
    PagerEnd,
    Follow,
    Output,
    All,
    Lines,
    NoTail,
    Reverse,
    Quiet,
    Merge,
    ThisBoot,
    Boot,
    ListBoots,
    Kernel,
    Field,
    Fields,
    Unit,
    Identifier,
    ExcludeIdentifier,
    Facility,
    Priority,
    Grep,
    CaseSensitive,
    Since,
    Until,
    Cursor,
    AfterCursor,
    ShowCursor,
    NoHostname,
    TruncateNewline,
    OutputFields,
}

const FILES: usize = 0;
const OTHERS: usize = 1;
const UPKEEP: usize = 2;
const USER: usize = 3;
const INVOCATION: usize = 4;
const NO_TERMINAL: usize = 5;
const REASONS: [&str; 6] = [
    "it reads journal files, and the incident's journal is no file",
    "there is one machine and one journal in an incident",
    "it changes or checks journal files, and the incident's journal is no file",
    "there is no user manager in an incident; leave it out to see the system's journal",
    "choosing by invocation is not supported; use _SYSTEMD_INVOCATION_ID=ID",
    "nothing is cut off here, because the output is no terminal",
];

const SPECS: &[Spec<Opt>] = &[
    ("help", Some('h'), Takes::Nothing, Opt::Help),
    ("version", None, Takes::Nothing, Opt::Version),
    ("no-pager", None, Takes::Nothing, Opt::Ignored),
    ("pager-end", Some('e'), Takes::Nothing, Opt::PagerEnd),
    ("follow", Some('f'), Takes::Nothing, Opt::Follow),
    ("force", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("output", Some('o'), Takes::Value, Opt::Output),
    ("all", Some('a'), Takes::Nothing, Opt::All),
    ("full", Some('l'), Takes::Nothing, Opt::Ignored),
    ("no-full", None, Takes::Nothing, Opt::Refused(NO_TERMINAL)),
    ("lines", Some('n'), Takes::Optional, Opt::Lines),
    ("truncate-newline", None, Takes::Nothing, Opt::TruncateNewline),
    ("no-tail", None, Takes::Nothing, Opt::NoTail),
    ("new-id128", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("quiet", Some('q'), Takes::Nothing, Opt::Quiet),
    ("merge", Some('m'), Takes::Nothing, Opt::Merge),
    ("this-boot", None, Takes::Nothing, Opt::ThisBoot),
    ("boot", Some('b'), Takes::Optional, Opt::Boot),
    ("list-boots", None, Takes::Nothing, Opt::ListBoots),
    ("list-invocations", None, Takes::Nothing, Opt::Refused(INVOCATION)),
    ("invocation", None, Takes::Value, Opt::Refused(INVOCATION)),
    ("dmesg", Some('k'), Takes::Nothing, Opt::Kernel),
    ("system", None, Takes::Nothing, Opt::Ignored),
    ("user", None, Takes::Nothing, Opt::Refused(USER)),
    ("directory", Some('D'), Takes::Value, Opt::Refused(FILES)),
    ("file", Some('i'), Takes::Value, Opt::Refused(FILES)),
    ("root", None, Takes::Value, Opt::Refused(FILES)),
    ("image", None, Takes::Value, Opt::Refused(FILES)),
    ("header", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("identifier", Some('t'), Takes::Value, Opt::Identifier),
    ("exclude-identifier", Some('T'), Takes::Value, Opt::ExcludeIdentifier),
    ("priority", Some('p'), Takes::Value, Opt::Priority),
    ("facility", None, Takes::Value, Opt::Facility),
    ("grep", Some('g'), Takes::Value, Opt::Grep),
    ("case-sensitive", None, Takes::Optional, Opt::CaseSensitive),
    ("setup-keys", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("interval", None, Takes::Value, Opt::Refused(UPKEEP)),
    ("verify", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("verify-key", None, Takes::Value, Opt::Refused(UPKEEP)),
    ("disk-usage", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("cursor", Some('c'), Takes::Value, Opt::Cursor),
    ("cursor-file", None, Takes::Value, Opt::Refused(FILES)),
    ("after-cursor", None, Takes::Value, Opt::AfterCursor),
    ("show-cursor", None, Takes::Nothing, Opt::ShowCursor),
    ("since", Some('S'), Takes::Value, Opt::Since),
    ("until", Some('U'), Takes::Value, Opt::Until),
    ("unit", Some('u'), Takes::Value, Opt::Unit),
    ("user-unit", None, Takes::Value, Opt::Refused(USER)),
    ("field", Some('F'), Takes::Value, Opt::Field),
    ("fields", Some('N'), Takes::Nothing, Opt::Fields),
    // The explanations are systemd's own texts, which are not copied here: the lines come without them.
    ("catalog", Some('x'), Takes::Nothing, Opt::Ignored),
    ("list-catalog", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("dump-catalog", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("update-catalog", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("reverse", Some('r'), Takes::Nothing, Opt::Reverse),
    ("machine", Some('M'), Takes::Value, Opt::Refused(OTHERS)),
    ("namespace", None, Takes::Value, Opt::Refused(OTHERS)),
    ("list-namespaces", None, Takes::Nothing, Opt::Refused(OTHERS)),
    ("utc", None, Takes::Nothing, Opt::Ignored),
    ("flush", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("relinquish-var", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("smart-relinquish-var", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("sync", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("rotate", None, Takes::Nothing, Opt::Refused(UPKEEP)),
    ("vacuum-size", None, Takes::Value, Opt::Refused(UPKEEP)),
    ("vacuum-files", None, Takes::Value, Opt::Refused(UPKEEP)),
    ("vacuum-time", None, Takes::Value, Opt::Refused(UPKEEP)),
    ("no-hostname", None, Takes::Nothing, Opt::NoHostname),
    ("output-fields", None, Takes::Value, Opt::OutputFields),
];

/// Options that 252 does not have, and the version that brought them.
const LATER: &[(&str, u32)] = &[
    ("truncate-newline", 254),
    ("exclude-identifier", 256),
    ("list-invocations", 257),
    ("invocation", 257),
    ("list-namespaces", 256),
];

impl Options {
    /// Reads the command line; `Err` is the output of a command line that is answered without the journal.
    pub(super) fn parse(args: &[String], version: u32, now: IncidentTime) -> Result<Self, Output> {
        let specs: Vec<Spec<Opt>> = SPECS
            .iter()
            .filter(|(long, ..)| !LATER.iter().any(|(later, since)| later == long && version < *since))
            // The letter of --file came in 256.
            .map(|spec| if spec.0 == "file" && version < 256 { (spec.0, None, spec.2, spec.3) } else { *spec })
            .collect();
        let mut options = Self {
            action: Action::Show,
            field: String::new(),
            format: Format::Short,
            output_fields: Vec::new(),
            lines: Lines::All,
            lines_given: false,
            no_tail: false,
            follow: false,
            reverse: false,
            quiet: false,
            all: false,
            merge: false,
            no_hostname: false,
            truncate_newline: false,
            show_cursor: false,
            kernel: false,
            boot: None,
            units: Vec::new(),
            identifiers: Vec::new(),
            excluded_identifiers: Vec::new(),
            facilities: Vec::new(),
            priorities: None,
            grep: None,
            since: None,
            until: None,
            cursor: None,
            matches: Vec::new(),
        };
        let mut pattern: Option<String> = None;
        let mut case_sensitive: Option<bool> = None;
        let mut pager_end = false;
        let mut getopt = Getopt::new("journalctl", &specs, args);
        while let Some(next) = getopt.next() {
            let (opt, value) = next.map_err(Output::refuse)?;
            let text = value.as_deref().unwrap_or_default();
            match opt {
                Opt::Help => return Err(help(&specs)),
                Opt::Version => return Err(crate::ctl::version_output(version)),
                Opt::Ignored => {}
                Opt::Refused(reason) => {
                    let name = getopt.last;
                    return Err(Output::refuse(format!("journalctl: --{name} is not supported: {}", REASONS[reason])));
                }
                Opt::PagerEnd => pager_end = true,
                Opt::Follow => options.follow = true,
                Opt::Output if text == "help" => {
                    let mut output = Output::default();
                    for format in Format::ALL {
                        output.say(format.as_str());
                    }
                    return Err(output);
                }
                Opt::Output => {
                    options.format = text
                        .parse()
                        .map_err(|error: crate::journal::UnknownFormat| Output::refuse(error.to_string()))?;
                    // What reads these formats wants nothing but entries.
                    options.quiet |= !options.format.is_for_people();
                }
                Opt::All => options.all = true,
                Opt::Lines => {
                    options.lines_given = true;
                    options.lines = match value.as_deref() {
                        Some(text) => parse_lines(text, version).ok_or_else(|| {
                            Output::refuse(if version >= 254 {
                                format!("Failed to parse --lines='{text}'.")
                            } else {
                                format!("Failed to parse lines '{text}'")
                            })
                        })?,
                        // The next word is the number, if it is one.
                        None => match getopt.peek().and_then(|word| parse_lines(word, version)) {
                            Some(lines) => {
                                getopt.skip();
                                lines
                            }
                            None => Lines::Last(10),
                        },
                    };
                }
                Opt::NoTail => options.no_tail = true,
                Opt::Reverse => options.reverse = true,
                Opt::Quiet => options.quiet = true,
                Opt::Merge => options.merge = true,
                Opt::ThisBoot => options.boot = Some(BootChoice::Offset(0)),
                Opt::Boot => {
                    options.boot = match value.as_deref() {
                        Some(text) => parse_boot(text)
                            .ok_or_else(|| Output::refuse(format!("Failed to parse boot descriptor '{text}'")))?,
                        None => match getopt.peek().and_then(parse_boot) {
                            Some(boot) => {
                                getopt.skip();
                                boot
                            }
                            None => Some(BootChoice::Offset(0)),
                        },
                    };
                }
                Opt::ListBoots => options.action = Action::ListBoots,
                Opt::Kernel => {
                    options.kernel = true;
                    options.boot.get_or_insert(BootChoice::Offset(0));
                }
                Opt::Field => {
                    options.action = Action::FieldValues;
                    options.field = text.to_owned();
                }
                Opt::Fields => options.action = Action::FieldNames,
                Opt::Unit => options.units.push(text.to_owned()),
                Opt::Identifier => options.identifiers.push(text.to_owned()),
                Opt::ExcludeIdentifier => options.excluded_identifiers.push(text.to_owned()),
                Opt::Facility if text == "help" => {
                    let mut output = Output::default();
                    output.say("Available facilities:");
                    for number in 0..FACILITIES.len() {
                        output.say(facility_name(number));
                    }
                    return Err(output);
                }
                Opt::Facility => {
                    for word in text.split(',') {
                        let number = (0..FACILITIES.len())
                            .find(|number| word == number.to_string() || word == FACILITIES[*number])
                            .and_then(|number| u8::try_from(number).ok())
                            .ok_or_else(|| Output::refuse(format!("Bad --facility= argument \"{word}\".")))?;
                        options.facilities.push(number);
                    }
                }
                Opt::Priority => options.priorities = Some(parse_priorities(text).map_err(Output::refuse)?),
                Opt::Grep => pattern = Some(text.to_owned()),
                Opt::CaseSensitive => {
                    case_sensitive = Some(match value.as_deref() {
                        None => true,
                        Some("1" | "yes" | "y" | "true" | "t" | "on") => true,
                        Some("0" | "no" | "n" | "false" | "f" | "off") => false,
                        Some(text) => {
                            return Err(Output::refuse(format!(
                                "Bad --case-sensitive= argument \"{text}\": Invalid argument"
                            )));
                        }
                    });
                }
                Opt::Since => options.since = Some(moment(text, now)?),
                Opt::Until => options.until = Some(moment(text, now)?),
                Opt::Cursor => options.cursor = Some((text.to_owned(), false)),
                Opt::AfterCursor => options.cursor = Some((text.to_owned(), true)),
                Opt::ShowCursor => options.show_cursor = true,
                Opt::TruncateNewline => options.truncate_newline = true,
                Opt::NoHostname => options.no_hostname = true,
                Opt::OutputFields => {
                    options.output_fields.extend(text.split(',').filter(|f| !f.is_empty()).map(str::to_owned));
                }
            }
        }
        options.matches = getopt.operands;
        if pager_end && !options.lines_given {
            options.lines = Lines::Last(1000);
        }
        if options.follow && !options.no_tail && !options.lines_given && options.since.is_none() {
            options.lines = Lines::Last(10);
        }
        if options.no_tail {
            options.lines = Lines::All;
        }
        options.check(version)?;
        if let Some(pattern) = pattern {
            let sensitive = case_sensitive.unwrap_or_else(|| pattern.bytes().any(|b| b.is_ascii_uppercase()));
            let refuse = |reason: &str| Output::refuse(format!("Bad pattern \"{pattern}\": {reason}"));
            let grep = super::pattern::compile(&pattern, version, sensitive).map_err(|reason| refuse(&reason))?;
            options.grep = Some(grep);
            // The last N that match are found from the end.
            options.reverse |= matches!(options.lines, Lines::Last(_)) && !options.follow;
        }
        Ok(options)
    }

    fn check(&self, version: u32) -> Result<(), Output> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(Output::refuse("--since= must be before --until=."));
        }
        if self.cursor.is_some() && self.since.is_some() {
            return Err(Output::refuse(if version >= 256 {
                "Please specify only one of --since=, --cursor=, --cursor-file=, and --after-cursor=."
            } else {
                "Please specify only one of --since=, --cursor=, and --after-cursor=."
            }));
        }
        if self.follow && self.reverse {
            return Err(Output::refuse(if version >= 254 {
                "Please specify either --reverse or --follow, not both."
            } else {
                "Please specify either --reverse= or --follow=, not both."
            }));
        }
        if matches!(self.lines, Lines::First(_)) && (self.follow || self.reverse) {
            return Err(Output::refuse("--lines=+N is unsupported when --reverse or --follow is specified."));
        }
        if self.action != Action::Show && !self.matches.is_empty() && self.action != Action::FieldValues {
            return Err(Output::refuse(format!("Extraneous arguments starting with '{}'", self.matches[0])));
        }
        Ok(())
    }
}

fn moment(text: &str, now: IncidentTime) -> Result<IncidentTime, Output> {
    parse_timestamp(text, now).map_err(|_| Output::refuse(format!("Failed to parse timestamp: {text}")))
}

fn parse_lines(text: &str, version: u32) -> Option<Lines> {
    if text == "all" {
        return Some(Lines::All);
    }
    let first = text.starts_with('+') && version >= 254;
    let digits = text.strip_prefix('+').unwrap_or(text);
    let number = digits.parse::<u64>().ok().filter(|n| *n <= i32::MAX as u64 && !digits.starts_with('+'))?;
    Some(if first { Lines::First(number) } else { Lines::Last(number) })
}

/// `all` (which gives `Some(None)`), an offset, or a boot ID with an offset or without.
fn parse_boot(text: &str) -> Option<Option<BootChoice>> {
    if text == "all" {
        return Some(None);
    }
    let offset = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten().map(i64::from)
    };
    if let Some(id) = text.get(..32).filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit())) {
        let rest = &text[32..];
        let offset = if rest.is_empty() { 0 } else { offset(rest).filter(|_| rest.starts_with(['+', '-']))? };
        return Some(Some(BootChoice::Id(id.to_ascii_lowercase(), offset)));
    }
    Some(Some(BootChoice::Offset(offset(text)?)))
}

const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

fn level(text: &str) -> Option<usize> {
    LEVELS.iter().position(|name| *name == text).or_else(|| text.parse().ok().filter(|n| *n < LEVELS.len()))
}

/// The priorities of `-p`, one bit each.
fn parse_priorities(text: &str) -> Result<u8, String> {
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => level(from)
            .zip(level(to))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .ok_or_else(|| format!("Failed to parse log level range {text}"))?,
        None => (0, level(text).ok_or_else(|| format!("Unknown log level {text}"))?),
    };
    Ok((from..=to).fold(0, |bits, n| bits | 1 << n))
}

/// syslog's facilities; the empty ones have no name.
fn facility_name(number: usize) -> String {
    match FACILITIES[number] {
        "" => number.to_string(),
        name => name.to_owned(),
    }
}

fn help(specs: &[Spec<Opt>]) -> Output {
    let mut output = Output::default();
    output.say("journalctl [OPTIONS...] [MATCHES...]");
    output.say("");
    output.say("Shows the journal of the incident. Options that are supported:");
    output.say("");
    for (long, short, takes, opt) in specs {
        if matches!(opt, Opt::Refused(_)) {
            continue;
        }
        let letter = short.map_or_else(|| "  ".to_owned(), |c| format!("-{c}"));
        let argument = match takes {
            Takes::Nothing => "",
            Takes::Value => "=VALUE",
            Takes::Optional => "[=VALUE]",
        };
        output.say(format!("  {letter} --{long}{argument}"));
    }
    output
}
