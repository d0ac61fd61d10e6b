//! `relapse analyze`: the unit language from the shell, in `systemd-analyze`'s words.

pub(super) mod place;

use std::io::{self, Write};
use std::path::PathBuf;

use super::USAGE;
use crate::ctl::analyze::{self, Recursive, Show};
use crate::ctl::{Output, escape};
use crate::timeline::{printable, printable_json};
use crate::unit::Profile;
use place::Place;

const EXIT_CODES: &str = "Exit codes: 0 all well, 2 bad input or usage.";

const VERIFY: &str = "\
Loads the units, the drop-ins beside them and what they refer to in the same directory, and says
what systemd would say. What lies elsewhere is not looked at, since units are often verified on
another machine than the one they are for: programs and other units are taken to exist. With
--root=DIR they are looked for below DIR (--root=/ for this machine), as systemd-analyze does;
systemd's own targets are taken to exist in any case. Manual pages are never looked for.

Exit codes: 0 no errors (warnings are none, unless --recursive-errors says so), 1 a unit cannot be
loaded or started, 2 bad input or usage.";

const EXEC: &str = "\
One JSON object a unit: {\"ExecStart\": [{\"path\": …, \"argv\": […], \"flags\": [\"-\"]}], …}. argv is
what the process would get: specifiers and the unit's own environment are expanded; what only a
running service knows stays as it is ($MAINPID). Flags are the prefixes - : + ! !! and |.
EnvironmentFile= is read below --root=DIR.

Exit codes: 0 all well, 1 a unit cannot be loaded, 2 bad input or usage.";

const SHOW: &str = "\
The properties of the units as `systemctl show` prints them after a fresh load; what is wrong with
their files goes to standard error.

Exit codes: 0 shown (LoadState= says how the load went), 2 bad input or usage.";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// What a time span means
    #[command(after_help = EXIT_CODES)]
    Timespan {
        /// Time spans such as `1min 30s`
        #[arg(value_name = "SPAN", required = true)]
        spans: Vec<String>,
    },
    /// Check unit files for correctness
    #[command(after_help = VERIFY)]
    Verify {
        #[command(flatten)]
        units: Units,
        /// Fail for warnings, too: of the units named (no), the same after loading what they refer to (one), of any (yes)
        #[arg(long, value_name = "MODE", value_parser = ["no", "one", "yes"])]
        recursive_errors: Option<String>,
    },
    /// The properties of unit files
    #[command(after_help = SHOW)]
    Show {
        #[command(flatten)]
        units: Units,
        /// Only these properties (may be repeated, or be a list A,B)
        #[arg(short, long = "property", value_name = "NAME")]
        properties: Vec<String>,
        /// Values alone
        #[arg(long)]
        value: bool,
        /// Empty properties, too
        #[arg(short, long)]
        all: bool,
    },
    /// The commands of services, as JSON
    #[command(after_help = EXEC)]
    Exec {
        #[command(flatten)]
        units: Units,
    },
    /// The exit statuses that have names
    #[command(after_help = EXIT_CODES)]
    ExitStatus {
        /// Names or numbers; all that have a name if there is none
        #[arg(value_name = "STATUS")]
        statuses: Vec<String>,
    },
    /// Turn strings into parts of unit names, and back, as systemd-escape does
    #[command(after_help = EXIT_CODES)]
    Escape {
        /// Append this unit suffix
        #[arg(long, value_name = "SUFFIX")]
        suffix: Option<String>,
        /// Make the strings instances of this template
        #[arg(long, value_name = "TEMPLATE")]
        template: Option<String>,
        /// With --unescape: the instance alone
        #[arg(long)]
        instance: bool,
        /// Undo it
        #[arg(short, long)]
        unescape: bool,
        /// Make unit names of sloppy ones, as systemctl does
        #[arg(short, long, conflicts_with = "unescape")]
        mangle: bool,
        /// The strings are paths
        #[arg(short, long)]
        path: bool,
        /// What to escape
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Units {
    /// Unit files; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Whose rules and words: 252, 257 or 260
    #[arg(long, value_name = "VERSION", default_value = "252", value_parser = profile)]
    profile: Profile,
    /// Look for units and programs below DIR
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The unit's name if its text comes from standard input
    #[arg(long, value_name = "NAME", default_value = "stdin.service")]
    name: String,
}

pub(super) fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "252" => Ok(Profile::V252),
        "257" => Ok(Profile::V257),
        "260" => Ok(Profile::V260),
        _ => Err("known versions of systemd are 252, 257 and 260".to_owned()),
    }
}

pub(super) fn main(command: &Command) -> u8 {
    match command {
        Command::Timespan { spans } => print(analyze::timespan(spans)),
        Command::ExitStatus { statuses } => print(analyze::exit_status(statuses)),
        Command::Escape { suffix, template, instance, unescape, mangle, path, names } => {
            let mut args: Vec<String> = Vec::new();
            args.extend(suffix.iter().map(|value| format!("--suffix={value}")));
            args.extend(template.iter().map(|value| format!("--template={value}")));
            let flags =
                [(*instance, "--instance"), (*unescape, "--unescape"), (*mangle, "--mangle"), (*path, "--path")];
            args.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| (*flag).to_owned()));
            args.push("--".to_owned());
            args.extend(names.iter().cloned());
            let output = escape::run(&args, Profile::V252);
            // Whatever is wrong, it is the input.
            print(Output { code: if output.code == 0 { 0 } else { USAGE }, ..output })
        }
        Command::Verify { units, recursive_errors } => with_place(units, |place| {
            let recursive = match recursive_errors.as_deref() {
                Some("no") => Some(Recursive::No),
                Some("one") => Some(Recursive::One),
                Some(_) => Some(Recursive::Yes),
                None => None,
            };
            let find = |path: &str| place.executable(path);
            print(analyze::verify(&place.shelf, &place.names, recursive, units.root.as_ref().map(|_| &find as _)))
        }),
        Command::Show { units, properties, value, all } => with_place(units, |place| {
            let properties = analyze::property_names(properties);
            let what = Show { properties, value_only: *value, all: *all };
            print(analyze::show(&place.shelf, &place.names, &what))
        }),
        Command::Exec { units } => with_place(units, |place| {
            let read = |path: &str| place.read(path);
            let mut code = 0;
            for name in &place.names {
                let read = units.root.as_ref().map(|_| &read as _);
                let (commands, output) = analyze::exec(&place.shelf, name, read);
                code = code.max(print(output));
                if let Some(commands) = commands {
                    // There is nothing in it that JSON could refuse.
                    let json = serde_json::to_string(&commands).unwrap_or_default();
                    write(&mut io::stdout().lock(), &format!("{}\n", printable_json(&json)));
                }
            }
            code
        }),
    }
}

fn with_place(units: &Units, then: impl FnOnce(&Place) -> u8) -> u8 {
    match Place::new(units.profile, units.root.as_deref(), &units.files, &units.name) {
        Ok(place) => then(&place),
        Err(message) => {
            write(&mut io::stderr(), &format!("error: {}\n", printable(&message)));
            USAGE
        }
    }
}

/// Prints what came out, line by line without anything that a terminal would obey.
fn print(output: Output) -> u8 {
    for (bytes, stream) in [
        (&output.stderr, &mut io::stderr() as &mut dyn Write),
        (&output.stdout, &mut io::stdout().lock() as &mut dyn Write),
    ] {
        let text = String::from_utf8_lossy(bytes);
        let mut safe = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => safe.extend([&*printable(line), "\n"]),
                // A terminal that is left in the middle of a line is a nuisance.
                None => safe.extend([&*printable(line), "\n"]),
            }
        }
        write(stream, &safe);
    }
    output.code
}

/// A reader that went away is not our error.
fn write(stream: &mut dyn Write, text: &str) {
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}
