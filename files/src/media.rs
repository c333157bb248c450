//! Media types by the ending of a file's name.

/// The longest media type with its charset.
const TYPE_BYTES_MAX: usize = 128;

/// A value for `Content-Type`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MediaType {
    bytes: [u8; TYPE_BYTES_MAX],
    len: usize,
}

impl MediaType {
    /// That of a file, by its name. Text counts as UTF-8.
    pub(crate) fn of(name: &[u8]) -> Self {
        // What a name begins with is not its ending: `.profile`.
        let ending = name.rsplit(|&byte| byte == b'.').next().filter(|ending| ending.len() + 1 < name.len());
        let ending = ending.and_then(|ending| str::from_utf8(ending).ok()).unwrap_or_default();
        let kind = mime_guess::from_ext(ending).first_raw().unwrap_or("application/octet-stream");
        // Obsolete since RFC 9239.
        let kind = if kind == "application/javascript" { "text/javascript" } else { kind };
        let is_text =
            kind.starts_with("text/") || matches!(kind, "application/json" | "application/xml" | "image/svg+xml");
        let mut media_type = Self { bytes: [0; TYPE_BYTES_MAX], len: 0 };
        media_type.append(kind);
        if is_text {
            media_type.append("; charset=utf-8");
        }
        media_type
    }

    fn append(&mut self, text: &str) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + text.len()) {
            room.copy_from_slice(text.as_bytes());
            self.len += text.len();
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::MediaType;

    #[test]
    fn endings_determine_types() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("A.HTML", "text/html; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("photo.jpeg", "image/jpeg"),
            ("module.wasm", "application/wasm"),
            ("font.woff2", "font/woff2"),
            ("film.mp4", "video/mp4"),
            ("archive.tar.gz", "application/gzip"),
            ("README", "application/octet-stream"),
            ("html", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("x.unknown-ending", "application/octet-stream"),
            ("x.", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            let media_type = MediaType::of(name.as_bytes());
            assert_eq!(str::from_utf8(media_type.as_bytes()), Ok(expected), "{name}");
        }
    }
}
