//! `journalctl`: a command line and a journal to output (journalctl(1)).

mod options;
mod pattern;

use crate::journal::{Boot, Entry, Format, Journal, Matcher, Style, Term};
use crate::time::IncidentTime;

use self::options::{Action, BootChoice, Lines, Options};
use super::{Output, glob, name, version_of};
use crate::unit::Profile;
use crate::unit::name::is_glob;

/// A `journalctl` command line, resolved against a journal.
#[derive(Clone, Debug)]
pub struct Journalctl {
    options: Options,
    style: Style,
    matcher: Matcher,
    /// The entry that a cursor would stand at: a sequence number.
    shown: Option<u64>,
    /// The entry that the next one is told apart from.
    previous: Option<u64>,
    /// The boot of the entry looked at last.
    boot: Option<String>,
    /// Where a follower goes on.
    next: u64,
    warnings: Vec<String>,
}

impl Journalctl {
    /// Reads a command line, without the program's name. Patterns of units and the choice of a boot are resolved
    /// against the journal as it is now.
    ///
    /// # Errors
    ///
    /// The output of a command line that needs no entries: a mistake, `--help`, `--version`.
    pub fn new(args: &[String], profile: Profile, now: IncidentTime, journal: &Journal) -> Result<Self, Output> {
        let version = version_of(profile);
        let options = Options::parse(args, version, now)?;
        let mut warnings = Vec::new();
        let matcher = matcher(&options, version, journal, &mut warnings)?;
        let style = Style {
            format: options.format,
            version,
            no_hostname: options.no_hostname,
            all: options.all,
            truncate_newline: options.truncate_newline,
            fields: options.output_fields.clone(),
        };
        Ok(Self { options, style, matcher, shown: None, previous: None, boot: None, next: 0, warnings })
    }

    /// Whether the command goes on with new records, until it is killed.
    pub fn follows(&self) -> bool {
        self.options.follow && self.options.action == Action::Show
    }

    /// What it shows at once.
    pub fn run(&mut self, journal: &Journal) -> Output {
        let mut output = Output::default();
        for warning in std::mem::take(&mut self.warnings) {
            output.complain(warning);
        }
        match self.options.action {
            Action::Show => self.show(journal, &mut output),
            Action::ListBoots => self.list_boots(journal, &mut output),
            Action::FieldNames => field_names(journal, &mut output),
            Action::FieldValues => self.field_values(journal, &mut output),
        }
        output
    }

    /// What has been logged since the last call: only for a command that follows.
    pub fn more(&mut self, journal: &Journal) -> Vec<u8> {
        let mut out = Vec::new();
        let next = self.next;
        for entry in journal.entries_from(next) {
            if self.matcher.accepts(entry.record) && !self.is_over(&entry) {
                self.entry(journal, &entry, &mut out);
            }
        }
        self.next = journal.next_seqnum();
        out
    }

    fn show(&mut self, journal: &Journal, output: &mut Output) {
        let selected: Vec<Entry<'_>> = match self.select(journal) {
            Ok(selected) => selected,
            Err(refusal) => {
                output.complain(refusal);
                output.code = 1;
                return;
            }
        };
        let limit = match self.options.lines {
            Lines::All => u64::MAX,
            Lines::Last(n) | Lines::First(n) => n,
        };
        let mut shown = 0;
        for entry in &selected {
            if shown >= limit || self.is_over(entry) {
                break;
            }
            shown += u64::from(self.entry(journal, entry, &mut output.stdout));
        }
        self.next = journal.next_seqnum();
        if shown == 0 && !self.options.follow {
            if !self.options.quiet {
                output.say("-- No entries --");
            }
            output.code = u8::from(self.options.grep.is_some());
        }
        if self.options.show_cursor {
            match self.shown.and_then(|seqnum| journal.entries_from(seqnum).next()) {
                Some(last) => output.say(format!("-- cursor: {}", last.cursor())),
                // There is no cursor to show: up to 252 that was an error.
                None => output.code |= u8::from(self.style.version < 256),
            }
        }
    }

    /// The entries in the order in which they are looked at, from where the command line says to begin.
    fn select<'j>(&self, journal: &'j Journal) -> Result<Vec<Entry<'j>>, String> {
        let options = &self.options;
        let mut entries: Vec<Entry<'j>> = journal.entries().filter(|e| self.matcher.accepts(e.record)).collect();
        if let Some((cursor, after)) = &options.cursor {
            let at = Cursor::parse(cursor).ok_or("Failed to seek to cursor: Invalid argument")?;
            entries.retain(|e| if *after { at.is_before(e) } else { at.is_before(e) || at.is(e) });
        } else if let Some(since) = options.since {
            entries.retain(|e| e.record.realtime >= since);
        }
        if options.reverse {
            if let Some(until) = options.until {
                entries.retain(|e| e.record.realtime <= until);
            }
            entries.reverse();
            return Ok(entries);
        }
        // Up to 252 the number counts from --since= on; later systemd shows the last ones in any case.
        let from_start = options.since.is_some() && self.style.version < 254 || options.cursor.is_some();
        if let Lines::Last(n) = options.lines
            && !from_start
        {
            if self.style.version >= 254
                && let Some(until) = options.until
            {
                entries.retain(|e| e.record.realtime <= until);
            }
            let skip = entries.len().saturating_sub(usize::try_from(n).unwrap_or(usize::MAX));
            entries.drain(..skip);
        }
        Ok(entries)
    }

    /// Whether this entry and those after it are outside of --since= and --until=.
    fn is_over(&self, entry: &Entry<'_>) -> bool {
        let time = entry.record.realtime;
        if self.options.reverse {
            self.options.since.is_some_and(|since| time < since)
        } else {
            self.options.until.is_some_and(|until| time > until)
        }
    }

    /// Writes an entry, unless --grep= passes over it. The line between two boots comes first, for an entry that is
    /// passed over too.
    fn entry(&mut self, journal: &Journal, entry: &Entry<'_>, out: &mut Vec<u8>) -> bool {
        let boot = entry.record.boot_id();
        if !self.options.quiet && !self.options.merge {
            if self.boot.as_deref().is_some_and(|before| before != boot) {
                out.extend_from_slice(format!("-- Boot {boot} --\n").as_bytes());
            }
            if self.boot.as_deref() != Some(boot) {
                self.boot = Some(boot.to_owned());
            }
        }
        if let Some(grep) = &self.options.grep
            && !entry.record.bytes("MESSAGE").is_some_and(|message| grep.is_match(message))
        {
            return false;
        }
        // An entry that is left out is counted, and it is where a cursor stands.
        let identifier = entry.record.get("SYSLOG_IDENTIFIER");
        if identifier.is_some_and(|id| self.options.excluded_identifiers.iter().any(|excluded| excluded == id)) {
            self.shown = Some(entry.seqnum);
            return true;
        }
        let previous = self.previous.and_then(|seqnum| journal.entries_from(seqnum).next());
        let before = out.len();
        self.style.write(out, entry, previous.as_ref());
        self.shown = Some(entry.seqnum);
        // A record without a message is no line; up to 252 it was one to measure from.
        if out.len() > before || self.style.version < 256 {
            self.previous = Some(entry.seqnum);
        }
        true
    }

    fn list_boots(&self, journal: &Journal, output: &mut Output) {
        let boots = journal.boots();
        let newest = boots.len() as i64 - 1;
        if matches!(self.options.format, Format::Json | Format::JsonPretty | Format::JsonSse | Format::JsonSeq) {
            let object = |(n, boot): (i64, &Boot)| {
                let (first, last) = (boot.first.as_micros(), boot.last.as_micros());
                let index = n - newest;
                format!(
                    "{{\"index\":{index},\"boot_id\":\"{}\",\"first_entry\":{first},\"last_entry\":{last}}}",
                    boot.id
                )
            };
            let objects: Vec<String> = (0..).zip(&boots).map(object).collect();
            return output.say(format!("[{}]", objects.join(",")));
        }
        let indices: Vec<String> = (-newest..=0).map(|n| n.to_string()).collect();
        let width = indices.iter().map(String::len).max().unwrap_or(0).max(if self.options.quiet { 0 } else { 3 });
        if !self.options.quiet {
            let (id, first) = ("BOOT ID", "FIRST ENTRY");
            output.say(format!("{:>width$} {id:<32} {first:<27} LAST ENTRY", "IDX"));
        }
        for (index, boot) in indices.iter().zip(&boots) {
            let first = crate::journal::format_timestamp(boot.first);
            let last = crate::journal::format_timestamp(boot.last);
            output.say(format!("{index:>width$} {} {first} {last}", boot.id));
        }
    }

    fn field_values(&self, journal: &Journal, output: &mut Output) {
        let mut seen: std::collections::HashSet<&[u8]> = std::collections::HashSet::new();
        for entry in journal.entries() {
            for (_, value) in entry.record.fields.iter().filter(|(name, _)| *name == self.options.field) {
                if seen.insert(value) {
                    output.stdout.extend_from_slice(value);
                    output.stdout.push(b'\n');
                }
            }
        }
    }
}

/// Runs a command line that does not follow: `journalctl` in one call.
pub fn journalctl(args: &[String], profile: Profile, now: IncidentTime, journal: &Journal) -> Output {
    match Journalctl::new(args, profile, now, journal) {
        Ok(mut command) => command.run(journal),
        Err(output) => output,
    }
}

/// The last lines about a unit as `systemctl status` shows them: of this boot, not older than `not_before`
/// microseconds after it, at most `lines`.
pub(in crate::ctl) fn unit_log(
    journal: &Journal,
    unit: &str,
    boot_id: &str,
    not_before: u64,
    lines: usize,
    style: &Style,
) -> Vec<u8> {
    let matcher = Matcher::unit(unit, style.version);
    let mut last: Vec<Entry<'_>> = journal
        .entries()
        .rev()
        .take_while(|e| e.record.boot_id() == boot_id)
        .filter(|e| matcher.accepts(e.record))
        .take_while(|e| e.record.monotonic >= not_before)
        .take(lines)
        .collect();
    last.reverse();
    let mut out = Vec::new();
    let mut previous: Option<&Entry<'_>> = None;
    for entry in &last {
        style.write(&mut out, entry, previous);
        previous = Some(entry);
    }
    out
}

/// What the command line asks of a record, times apart.
fn matcher(options: &Options, version: u32, journal: &Journal, warnings: &mut Vec<String>) -> Result<Matcher, Output> {
    let mut all = Vec::new();
    if let Some(boot) = &options.boot {
        all.push(Matcher::field("_BOOT_ID", find_boot(boot, version, journal)?));
    }
    if options.kernel {
        all.push(Matcher::field("_TRANSPORT", "kernel"));
    }
    if !options.units.is_empty() {
        all.push(units(options, version, journal, warnings)?);
    }
    let alternatives = |field: &str, values: &mut dyn Iterator<Item = String>| {
        Matcher::Any(values.map(|value| Matcher::field(field, value)).collect())
    };
    if !options.identifiers.is_empty() {
        all.push(alternatives("SYSLOG_IDENTIFIER", &mut options.identifiers.iter().cloned()));
    }
    if let Some(bits) = options.priorities {
        all.push(alternatives("PRIORITY", &mut (0..8).filter(|n| bits & (1 << n) != 0).map(|n: u8| n.to_string())));
    }
    if !options.facilities.is_empty() {
        all.push(alternatives("SYSLOG_FACILITY", &mut options.facilities.iter().map(u8::to_string)));
    }
    if let Some(arguments) = arguments(&options.matches, version).map_err(Output::refuse)? {
        all.push(arguments);
    }
    Ok(Matcher::All(all))
}

/// The matches that stand as words: `FIELD=VALUE`, a path, and `+` between alternatives.
fn arguments(words: &[String], version: u32) -> Result<Option<Matcher>, String> {
    let misplaced = || {
        let stop = if version >= 256 { "." } else { "" };
        format!("\"+\" can only be used between terms{stop}")
    };
    if words.is_empty() {
        return Ok(None);
    }
    let mut alternatives = Vec::new();
    let mut terms: Vec<Term> = Vec::new();
    for word in words {
        if word == "+" {
            if terms.is_empty() {
                return Err(misplaced());
            }
            alternatives.push(Matcher::conjunction(std::mem::take(&mut terms)));
        } else if word.starts_with('/') {
            terms.push(Term::new("_EXE", word.as_str()));
        } else {
            terms.push(Term::parse(word).map_err(|_| format!("Failed to add match '{word}': Invalid argument"))?);
        }
    }
    if terms.is_empty() {
        return Err(misplaced());
    }
    alternatives.push(Matcher::conjunction(terms));
    Ok(Some(Matcher::Any(alternatives)))
}

fn units(options: &Options, version: u32, journal: &Journal, warnings: &mut Vec<String>) -> Result<Matcher, Output> {
    let failed = |why: &str| Output::refuse(format!("Failed to add filter for units: {why}"));
    let mut any = Vec::new();
    let mut patterns = Vec::new();
    for word in &options.units {
        let mangled = name::mangle(word, ".service").ok_or_else(|| failed("Invalid argument"))?;
        if let Some(hint) = mangled.hint.filter(|_| !options.quiet) {
            warnings.push(hint);
        }
        if is_glob(&mangled.name) {
            patterns.push(mangled.name);
        } else {
            any.push(Matcher::unit(&mangled.name, version));
        }
    }
    if !patterns.is_empty() {
        let mut known: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
        for entry in journal.entries() {
            for field in ["_SYSTEMD_UNIT", "COREDUMP_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT", "_SYSTEMD_SLICE"] {
                known.extend(entry.record.get(field));
            }
        }
        let hit = |unit: &&str| patterns.iter().any(|pattern| glob::matches(pattern, unit));
        any.extend(known.into_iter().filter(hit).map(|unit| Matcher::unit(unit, version)));
    }
    // A pattern that nothing has ever matched must not select everything.
    if any.is_empty() { Err(failed("No data available")) } else { Ok(Matcher::Any(any)) }
}

fn find_boot(choice: &BootChoice, version: u32, journal: &Journal) -> Result<String, Output> {
    let boots = journal.boots();
    let count = boots.len() as i64;
    let missing = |what: String| {
        Output::refuse(if version >= 256 {
            format!("No journal boot entry found for the specified boot ({what}).")
        } else {
            format!("Data from the specified boot ({what}) is not available: No such boot ID in journal")
        })
    };
    match choice {
        // The journal of a machine that has logged nothing yet has no boot: no record will match.
        BootChoice::Offset(0) => Ok(boots.last().map(|boot| boot.id.clone()).unwrap_or_default()),
        BootChoice::Offset(n) => {
            let index = if *n > 0 { n - 1 } else { count - 1 + n };
            let boot = usize::try_from(index).ok().and_then(|index| boots.get(index));
            boot.map(|boot| boot.id.clone()).ok_or_else(|| missing(format!("{n:+}")))
        }
        BootChoice::Id(id, offset) => {
            let at = boots.iter().position(|boot| boot.id == *id).map(|at| at as i64 + offset);
            let boot = at.and_then(|at| usize::try_from(at).ok()).and_then(|at| boots.get(at));
            let what = match offset {
                _ if version >= 256 => format!("{id}{offset:+}"),
                0 => id.clone(),
                _ => format!("{offset:+}"),
            };
            boot.map(|boot| boot.id.clone()).ok_or_else(|| missing(what))
        }
    }
}

fn field_names(journal: &Journal, output: &mut Output) {
    let mut seen = std::collections::HashSet::new();
    for entry in journal.entries() {
        for (name, _) in &entry.record.fields {
            if seen.insert(name.as_str()) {
                output.say(name);
            }
        }
    }
}

/// A place in a journal: by number if it is of this journal, else by time.
struct Cursor {
    seqnum: Option<(String, u64)>,
    realtime: Option<u64>,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut id = None;
        let mut cursor = Cursor { seqnum: None, realtime: None };
        for part in text.split(';') {
            let (key, value) = part.split_once('=')?;
            match key {
                "s" => id = Some(value.to_owned()),
                "i" => cursor.seqnum = Some((id.clone()?, u64::from_str_radix(value, 16).ok()?)),
                "t" => cursor.realtime = Some(u64::from_str_radix(value, 16).ok()?),
                "b" | "m" | "x" => {}
                _ => return None,
            }
        }
        (cursor.seqnum.is_some() || cursor.realtime.is_some()).then_some(cursor)
    }

    fn is_before(&self, entry: &Entry<'_>) -> bool {
        match &self.seqnum {
            Some((id, seqnum)) if id == entry.seqnum_id() => *seqnum < entry.seqnum,
            _ => self.realtime.is_some_and(|time| time < entry.record.realtime.as_micros()),
        }
    }

    fn is(&self, entry: &Entry<'_>) -> bool {
        match &self.seqnum {
            Some((id, seqnum)) if id == entry.seqnum_id() => *seqnum == entry.seqnum,
            _ => self.realtime.is_some_and(|time| time == entry.record.realtime.as_micros()),
        }
    }
}
