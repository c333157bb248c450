//! The page that lists a folder.

use std::fmt::{self, Write};

use aurora_http_core::format::HttpDate;
use aurora_http_core::request::Query;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use crate::root::Facts;

/// The most entries of a page.
const ENTRIES_MAX: usize = 10_000;

/// What the entries are sorted by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Key {
    #[default]
    Name,
    Size,
    Date,
}

/// The order of the entries; folders come first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Order {
    key: Key,
    is_reversed: bool,
}

impl Order {
    /// As in the links of a page: `?sort=size`, `?sort=-size`.
    pub(crate) fn of(query: Option<Query<'_>>) -> Self {
        let value = query.and_then(|query| query.get("sort")).unwrap_or_default();
        let (name, is_reversed) = match value.strip_prefix(b"-") {
            Some(name) => (name, true),
            None => (value, false),
        };
        let key = match name {
            b"size" => Key::Size,
            b"date" => Key::Date,
            _ => Key::Name,
        };
        Self { key, is_reversed }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    name: Vec<u8>,
    is_folder: bool,
    len: u64,
    modified_s: u64,
}

/// The page of a folder, whose path is `path`. `behind` tells what a link leads to, if that would be served.
pub(crate) fn page(
    folder: OwnedFd,
    path: &[u8],
    dot_files: bool,
    order: Order,
    behind: &mut dyn FnMut(&[u8]) -> Option<Facts>,
) -> Result<Vec<u8>, Errno> {
    let (mut entries, is_complete) = entries(folder, dot_files, behind)?;
    sort(&mut entries, order);
    let mut html = String::with_capacity(1024 + entries.len() * 200);
    // A string takes everything that is written to it.
    let _ = write(&mut html, path, &entries, is_complete, order);
    Ok(html.into_bytes())
}

fn entries(
    folder: OwnedFd,
    dot_files: bool,
    behind: &mut dyn FnMut(&[u8]) -> Option<Facts>,
) -> Result<(Vec<Entry>, bool), Errno> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let bytes = name.to_bytes();
        let is_hidden = bytes.starts_with(b".") && bytes != b".well-known" && !dot_files;
        if matches!(bytes, b"." | b"..") || is_hidden || bytes.contains(&b'\\') {
            continue;
        }
        let Ok(stat) = statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let mut facts = Facts::of(&stat);
        if facts.kind == FileType::Symlink {
            let Some(target) = behind(bytes) else { continue };
            facts = target;
        }
        if !matches!(facts.kind, FileType::Directory | FileType::RegularFile) {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            return Ok((entries, false));
        }
        let is_folder = facts.kind == FileType::Directory;
        entries.push(Entry {
            name: bytes.to_vec(),
            is_folder,
            len: facts.len,
            modified_s: facts.modified_since_1970_s(),
        });
    }
    Ok((entries, true))
}

fn sort(entries: &mut [Entry], order: Order) {
    let text = |entry: &Entry| String::from_utf8_lossy(&entry.name).to_lowercase();
    match order.key {
        Key::Name => entries.sort_by_cached_key(text),
        Key::Size => entries.sort_by_key(|entry| entry.len),
        Key::Date => entries.sort_by_key(|entry| entry.modified_s),
    }
    if order.is_reversed {
        entries.reverse();
    }
    entries.sort_by_key(|entry| !entry.is_folder);
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.2rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .5rem}\
th{border-bottom:1px solid color-mix(in srgb,currentColor 40%,transparent);font-weight:600}\
tbody tr:hover{background:color-mix(in srgb,currentColor 8%,transparent)}\
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
td:first-child{overflow-wrap:anywhere}\
a{color:LinkText;text-decoration:none}a:hover{text-decoration:underline}\
p{opacity:.7}";

fn write(html: &mut String, path: &[u8], entries: &[Entry], is_complete: bool, order: Order) -> fmt::Result {
    let title = format!("/{}{}", Escaped(path), if path.is_empty() { "" } else { "/" });
    write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n<table><thead><tr>"
    )?;
    for (key, name, label, class) in [
        (Key::Name, "name", "Name", ""),
        (Key::Size, "size", "Size", " class=\"n\""),
        (Key::Date, "date", "Modified (UTC)", " class=\"n\""),
    ] {
        let is_current = order.key == key;
        let minus = if is_current && !order.is_reversed { "-" } else { "" };
        let arrow = match (is_current, order.is_reversed) {
            (true, false) => " \u{2191}",
            (true, true) => " \u{2193}",
            (false, _) => "",
        };
        write!(html, "<th{class}><a href=\"?sort={minus}{name}\">{label}{arrow}</a></th>")?;
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    if !path.is_empty() {
        html.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        write_entry(html, entry)?;
    }
    html.push_str("</tbody></table>\n");
    let folders = entries.iter().filter(|entry| entry.is_folder).count();
    // Holes of sparse files count, so this may be more than any disk has.
    let lengths = entries.iter().filter(|entry| !entry.is_folder).map(|entry| entry.len);
    let bytes = lengths.fold(0, u64::saturating_add);
    let (folders, files) = (Count(folders, "folder"), Count(entries.len() - folders, "file"));
    write!(html, "<p>{folders}, {files}, {}</p>", Size(bytes))?;
    if !is_complete {
        write!(html, "<p>There are more; these are {ENTRIES_MAX} of them.</p>")?;
    }
    html.push_str("</body></html>\n");
    Ok(())
}

fn write_entry(html: &mut String, entry: &Entry) -> fmt::Result {
    let slash = if entry.is_folder { "/" } else { "" };
    let (link, text) = (Encoded(&entry.name), Escaped(&entry.name));
    write!(html, "<tr><td><a href=\"{link}{slash}\">{text}{slash}</a></td><td class=\"n\">")?;
    if !entry.is_folder {
        write!(html, "{}", Size(entry.len))?;
    }
    html.push_str("</td><td class=\"n\">");
    if let Some(date) = HttpDate::from_unix_seconds(entry.modified_s) {
        // "Sun, 06 Nov 1994 08:49:37 GMT", of which the weekday and the zone are left out.
        html.push_str(&date.as_str()[5..22]);
    }
    html.push_str("</td></tr>\n");
    Ok(())
}

/// Text in HTML; bytes that are not UTF-8 become replacement characters.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in String::from_utf8_lossy(self.0).chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A segment of a path in a relative reference. It begins with `./`, or a colon in it would look like a scheme's.
struct Encoded<'a>(&'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("./")?;
        for &byte in self.0 {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                f.write_char(byte.into())?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// A number of things.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, thing) = self;
        write!(f, "{count} {thing}{}", if *count == 1 { "" } else { "s" })
    }
}

/// A number of bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut unit = 0;
        let mut value = self.0 as f64 / 1024.0;
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(f, "{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, is_folder: bool, len: u64, modified_s: u64) -> Entry {
        Entry { name: name.into(), is_folder, len, modified_s }
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), expected);
        }
    }

    #[test]
    fn names_are_escaped_and_encoded() {
        let name = "<script>alert(\"1\")</script>&'#?%:";
        let mut html = String::new();
        write(&mut html, name.as_bytes(), &[entry(name, false, 1, 0)], true, Order::default()).unwrap();
        assert!(!html.contains("<script"), "{html}");
        let link = "href=\"./%3Cscript%3Ealert%28%221%22%29%3C%2Fscript%3E%26%27%23%3F%25%3A\"";
        assert!(html.contains(link), "{html}");
        assert!(html.contains("<h1>/&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;#?%:/</h1>"), "{html}");
    }

    #[test]
    fn names_that_are_not_text_are_shown_and_linked() {
        let entry = Entry { name: b"a\xff".to_vec(), ..entry("", false, 0, 0) };
        let mut html = String::new();
        write_entry(&mut html, &entry).unwrap();
        assert!(html.contains("href=\"./a%FF\">a\u{fffd}</a>"), "{html}");
    }

    #[test]
    fn folders_come_first_in_any_order() {
        let all = [
            entry("b", false, 3, 1),
            entry("A", false, 1, 3),
            entry("z", true, 0, 2),
            entry("c", false, 2, 2),
            entry("y", true, 9, 9),
        ];
        for (sort_by, expected) in [
            ("", ["y", "z", "A", "b", "c"]),
            ("sort=-name", ["z", "y", "c", "b", "A"]),
            ("sort=size", ["z", "y", "A", "c", "b"]),
            ("sort=-date", ["y", "z", "A", "c", "b"]),
            ("x=1&sort=-size", ["y", "z", "b", "c", "A"]),
        ] {
            let mut entries = all.clone();
            sort(&mut entries, Order::of(Some(Query::new(sort_by.as_bytes()))));
            let names: Vec<_> = entries.iter().map(|entry| str::from_utf8(&entry.name).unwrap()).collect();
            assert_eq!(names, expected, "{sort_by}");
        }
    }

    #[test]
    fn the_root_has_no_parent() {
        let mut html = String::new();
        write(&mut html, b"", &[], true, Order::default()).unwrap();
        assert!(html.contains("<h1>/</h1>") && !html.contains("../"), "{html}");
        html.clear();
        let sparse = [entry("a", false, u64::MAX, 0), entry("b", false, u64::MAX, 0)];
        write(&mut html, b"", &sparse, true, Order::default()).unwrap();
        assert!(html.contains("<p>0 folders, 2 files, 16.0 EiB</p>"), "{html}");
        html.clear();
        write(&mut html, b"a/b", &[], false, Order::default()).unwrap();
        assert!(
            html.contains("<h1>/a/b/</h1>") && html.contains("href=\"../\"") && html.contains("There are more"),
            "{html}"
        );
    }
}
