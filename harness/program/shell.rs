//! Shells know `kill` themselves; in a run they are given ours (see [`KILL_FUNCTION`]).

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::mapping::{KILL_FUNCTION, SHELLS};

/// Where the host has the shell.
pub(crate) fn real(name: &str) -> Option<PathBuf> {
    ["/bin", "/usr/bin", "/usr/local/bin"].iter().map(|path| PathBuf::from(path).join(name)).find(|file| file.exists())
}

/// Becomes the real shell.
pub(super) fn main(name: &str, args: &mut [String]) -> i32 {
    arm(args);
    let Some(file) = real(name) else {
        eprintln!("{name}: not found");
        return 127;
    };
    let error = Command::new(&file).arg0(&args[0]).args(&args[1..]).exec();
    eprintln!("{name}: {}: {error}", file.display());
    126
}

/// Puts the function before the commands of `sh -c COMMANDS`; other command lines stay as they are.
pub(crate) fn arm(argv: &mut [String]) {
    let shell = argv.first().is_some_and(|first| SHELLS.contains(&first.rsplit('/').next().unwrap_or(first)));
    let (mut commands, mut skip) = (false, false);
    for word in argv.iter_mut().skip(1).filter(|_| shell) {
        if std::mem::take(&mut skip) {
            continue;
        }
        match word.strip_prefix(['-', '+']) {
            Some("-rcfile" | "-init-file") => skip = true,
            Some(long) if long.starts_with('-') && long.len() > 1 => {}
            Some(flags) if !flags.is_empty() && flags != "-" => {
                commands |= flags.contains('c');
                skip = flags.ends_with(['o', 'O']);
            }
            // The end of the options.
            Some(_) => {}
            None => {
                if commands {
                    word.insert_str(0, KILL_FUNCTION);
                }
                return;
            }
        }
    }
}

/// A script with the function before its first line, or before its second one where the first names the interpreter:
/// lines keep their numbers. What no shell of ours runs stays as it is.
pub(crate) fn arm_script(text: &str, is_shell: bool) -> String {
    if !text.starts_with("#!") {
        return if is_shell { format!("{KILL_FUNCTION}{text}") } else { text.to_owned() };
    }
    let Some((first, rest)) = text.split_once('\n') else { return text.to_owned() };
    let shell = first.strip_prefix("#!").is_some_and(|interpreter| {
        interpreter
            .split_ascii_whitespace()
            .take(2)
            .any(|word| SHELLS.contains(&word.rsplit('/').next().unwrap_or(word)))
    });
    if shell { format!("{first}\n{KILL_FUNCTION}{rest}") } else { text.to_owned() }
}
