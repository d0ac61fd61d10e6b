//! Paths as text: incident paths, never looked up here.

/// NAME_MAX: the longest file name.
const LONGEST_NAME: usize = 255;
/// PATH_MAX without its NUL.
const LONGEST: usize = 4095;

/// Drops double slashes, `.` components and slashes at the end; `..` stays.
pub(crate) fn simplify(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match (path.starts_with('/'), parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) if !path.is_empty() => ".".into(),
        (false, _) => parts.join("/"),
    }
}

/// Whether it is absolute, and nothing is to be dropped or followed but symlinks; a name that begins with a dot does not count.
pub(crate) fn is_simple(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with('/') && !path.ends_with('/') && !bytes.windows(2).any(|two| matches!(two, b"//" | b"/."))
}

/// Whether the kernel would take it as a path.
pub(crate) fn is_valid(path: &str) -> bool {
    !path.is_empty() && path.len() <= LONGEST && path.split('/').all(|part| part.len() <= LONGEST_NAME)
}

/// Whether it is the name of a file in a directory.
pub(crate) fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains('/') && name.len() <= LONGEST_NAME
}

/// Whether a simplified path has no `..` left.
pub(crate) fn is_normalized(path: &str) -> bool {
    path.split('/').all(|part| part != "..")
}

/// Resolves `..` and `.` of an absolute path without looking at any symlink.
pub(crate) fn absolute(dir: &str, target: &str) -> String {
    let base = if target.starts_with('/') { "" } else { dir };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The directory and the name of an absolute path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether nothing in it needs quoting in the shell or is invisible.
pub(crate) fn is_safe(text: &str) -> bool {
    !text.chars().any(|c| c < ' ' || matches!(c, '"' | '\'' | '\\' | '\u{7f}'))
}
