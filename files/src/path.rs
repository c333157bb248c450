//! The path of a request as a path below the folder.

use std::ffi::CStr;

use aurora_http_core::request::decode_path_into;

/// Why a path names no file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// 400: `.` or `..`, NUL, or a malformed escape.
    Malformed,
    /// 404: there is no such file, and never will be.
    Missing,
}

/// The longest path, in bytes; that of Linux.
const PATH_BYTES_MAX: usize = 4095;

/// Bytes behind the path for what is appended to it: a slash, the longest name of an index, and NUL.
pub(crate) const SPARE: usize = 256;

/// A path below the folder, without a slash at either end; empty for the folder itself. It has room for a suffix.
#[derive(Debug)]
pub(crate) struct Below<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Below<'a> {
    /// Decodes and checks a path. `room` must be longer than it by [`SPARE`]. Returns also whether it ended with a slash, which only
    /// a folder's may.
    pub(crate) fn decode(raw: &[u8], room: &'a mut [u8], dot_files: bool) -> Result<(Self, bool), Refused> {
        let rest = raw.strip_prefix(b"/").ok_or(Refused::Missing)?;
        if raw.len() > PATH_BYTES_MAX || room.len() < raw.len() + SPARE {
            return Err(Refused::Missing);
        }
        let (rest, is_folder) = match rest.strip_suffix(b"/") {
            Some(rest) => (rest, true),
            None => (rest, rest.is_empty()),
        };
        let mut path = Self { bytes: room, len: 0 };
        if !rest.is_empty() {
            for segment in rest.split(|&byte| byte == b'/') {
                path.push(segment, dot_files)?;
            }
        } else if raw.len() > 1 {
            return Err(Refused::Missing); // "//"
        }
        Ok((path, is_folder))
    }

    /// A path that the program has set, such as that of the page for unknown paths.
    pub(crate) fn fixed(text: &str, room: &'a mut [u8]) -> Option<Self> {
        let mut path = Self { bytes: room, len: 0 };
        path.append(text.as_bytes())?;
        Some(path)
    }

    fn push(&mut self, raw: &[u8], dot_files: bool) -> Result<(), Refused> {
        let at = if self.len == 0 { 0 } else { self.len + 1 };
        let room = self.bytes.get_mut(at..).unwrap_or_default();
        let len = decode_path_into(raw, room).map_err(|_| Refused::Malformed)?.len();
        let segment = &room[..len];
        if matches!(segment, b"." | b"..") || segment.contains(&0) {
            return Err(Refused::Malformed);
        }
        let is_hidden = segment.starts_with(b".") && segment != b".well-known" && !dot_files;
        if segment.is_empty() || is_hidden || segment.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
            return Err(Refused::Missing);
        }
        if at > 0 {
            self.bytes[at - 1] = b'/';
        }
        self.len = at + len;
        Ok(())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The last segment.
    pub(crate) fn name(&self) -> &[u8] {
        self.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// For the system; `.` for the folder itself.
    pub(crate) fn as_c_str(&mut self) -> Option<&CStr> {
        if self.len == 0 {
            return Some(c".");
        }
        *self.bytes.get_mut(self.len)? = 0;
        CStr::from_bytes_with_nul(&self.bytes[..=self.len]).ok()
    }

    /// Appends text; `None` if there is no room for it.
    pub(crate) fn append(&mut self, text: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.len..self.len + text.len())?.copy_from_slice(text);
        self.len += text.len();
        Some(())
    }

    /// Appends a segment.
    pub(crate) fn enter(&mut self, name: &[u8]) -> Option<()> {
        if self.len > 0 {
            self.append(b"/")?;
        }
        self.append(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Removes what was appended after the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(raw: &[u8], dot_files: bool) -> Result<(Vec<u8>, bool), Refused> {
        let mut room = vec![0; raw.len() + SPARE];
        Below::decode(raw, &mut room, dot_files).map(|(path, is_folder)| (path.as_bytes().to_vec(), is_folder))
    }

    #[test]
    fn paths_are_decoded_segment_by_segment() {
        for (raw, path, is_folder) in [
            ("/", "", true),
            ("/a", "a", false),
            ("/a/", "a", true),
            ("/a/b.txt", "a/b.txt", false),
            ("/%61%20b+c/%C3%A4", "a b+c/ä", false),
            ("/.well-known/x", ".well-known/x", false),
            ("/a..b/..c.", "a..b/..c.", false),
            ("/a:b;c=d", "a:b;c=d", false),
        ] {
            let dot_files = raw.contains("..c");
            assert_eq!(decode(raw.as_bytes(), dot_files), Ok((path.into(), is_folder)), "{raw}");
        }
    }

    #[test]
    fn paths_that_could_lead_out_are_refused() {
        for raw in
            ["/..", "/../x", "/a/../b", "/.", "/a/./b", "/%2e%2e/x", "/%2E./x", "/.%2e", "/a%00b", "/%", "/%2", "/%zz"]
        {
            assert_eq!(decode(raw.as_bytes(), true), Err(Refused::Malformed), "{raw}");
        }
        for raw in [
            "",
            "*",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a%2fb",
            "/..%2f..%2fetc%2fpasswd",
            "/%2fetc/passwd",
            "/a\\b",
            "/..\\x",
            "/..%5cx",
        ] {
            assert_eq!(decode(raw.as_bytes(), true), Err(Refused::Missing), "{raw}");
        }
        for raw in ["/.git/config", "/a/.htpasswd", "/%2egit", "/..."] {
            assert_eq!(decode(raw.as_bytes(), false), Err(Refused::Missing), "{raw}");
        }
        let long = [&b"/"[..], &[b'x'; PATH_BYTES_MAX]].concat();
        assert_eq!(decode(&long, false), Err(Refused::Missing));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_below(raw in "/[a./%2eE5cCfF0\\\\]{0,20}") {
            if let Ok((path, _)) = decode(raw.as_bytes(), true) {
                prop_assert!(!path.starts_with(b"/") && !path.ends_with(b"/") && !path.contains(&0) && !path.contains(&b'\\'));
                let segments = path.split(|&byte| byte == b'/');
                prop_assert!(path.is_empty() || segments.into_iter().all(|segment| !matches!(segment, b"" | b"." | b"..")));
            }
        }

        #[test]
        fn without_dot_files_no_segment_begins_with_a_dot(raw in "/[a./%2eE]{0,20}") {
            if let Ok((path, _)) = decode(raw.as_bytes(), false) {
                prop_assert!(path.split(|&byte| byte == b'/').all(|segment| !segment.starts_with(b".")));
            }
        }
    }
}
