//! `multipart/form-data` in one piece, in pieces, and by a second parser (nostd-multipart): never a panic, the same parts however the
//! content arrives, and the parts that the second parser finds in every form that ours accepts. It accepts more than ours.
//!
//! Option: the size of the pieces. Then the content, whose boundary is `x`.

use aurora_http_web::multipart::{Event, Multipart, MultipartError};

const BOUNDARY: &[u8] = b"x";

/// Name, file name and content of a part.
#[derive(Debug, Eq, PartialEq)]
struct Part {
    name: String,
    file_name: Option<String>,
    content: Vec<u8>,
}

pub fn check(input: &[u8]) {
    let Some((size, form)) = input.split_first() else { return };
    let whole = read(form, form.len().max(1));
    let pieces = read(form, usize::from(*size).max(1));
    assert_eq!(whole, pieces, "in pieces of {size}");
    assert_eq!(whole, read(form, 1), "byte by byte");
    if let Ok(parts) = whole {
        assert_eq!(Some(parts), second(form));
    }
}

/// Reads a form of which so many bytes arrive at a time; what is not done with is offered again.
fn read(form: &[u8], size: usize) -> Result<Vec<Part>, MultipartError> {
    let mut parser = Multipart::new(BOUNDARY)?;
    let (mut parts, mut is_open) = (Vec::new(), false);
    let (mut begin, mut end) = (0, 0);
    loop {
        end = (end + size).min(form.len());
        loop {
            let (count, event) = parser.step(&form[begin..end], end == form.len())?;
            begin += count;
            assert!(begin <= end);
            match event {
                Some(Event::Part(head)) => {
                    assert!(!is_open, "the part before it has ended");
                    let _ = head.file_name().map(|name| check_file_name(name.file_name(&mut [0; 255])));
                    let file_name = head.file_name().map(|name| name.to_string());
                    parts.push(Part { name: head.name().to_string(), file_name, content: Vec::new() });
                    is_open = true;
                }
                Some(Event::Data(data)) => {
                    assert!(is_open && !data.is_empty());
                    parts.last_mut().expect("an open part").content.extend(data);
                }
                Some(Event::End) => assert!(std::mem::take(&mut is_open), "a part was open"),
                None => break,
            }
        }
        if end == form.len() {
            assert!(begin == end && !is_open, "a complete form has been read to its end");
            return Ok(parts);
        }
    }
}

fn check_file_name(name: Option<&str>) {
    let Some(name) = name else { return };
    assert!(!name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..", "{name:?}");
}

/// The parts that the second parser finds.
fn second(form: &[u8]) -> Option<Vec<Part>> {
    use nostd_multipart::{Event, Parser, content_disposition};

    let mut parser: Parser<'_, 4096, 2048> = Parser::new(BOUNDARY).ok()?;
    let (mut parts, mut at) = (Vec::<Part>::new(), 0);
    loop {
        let (count, event) = parser.parse(&form[at..], true).ok()?;
        at += count;
        match event {
            Some(Event::Header { name, value }) if name.eq_ignore_ascii_case(b"content-disposition") => {
                let disposition = content_disposition(value).ok()?;
                // It takes a backslash before anything for an escape.
                let text = |raw: &[u8]| decoded(&String::from_utf8_lossy(raw));
                let part = parts.last_mut()?;
                part.name = text(disposition.name()?.raw());
                part.file_name = disposition.filename().map(|name| text(name.raw()));
            }
            Some(Event::PartStart) => parts.push(Part { name: String::new(), file_name: None, content: Vec::new() }),
            Some(Event::Data(data)) => parts.last_mut()?.content.extend(data),
            Some(Event::Finished) => return Some(parts),
            _ => {}
        }
    }
}

/// The decoding that the documentation of `Text` describes, by a list of replacements.
fn decoded(raw: &str) -> String {
    let escapes = [("%22", "\""), ("%0D", "\r"), ("%0A", "\n"), ("\\\"", "\""), ("\\\\", "\\")];
    let (mut text, mut rest) = (String::new(), raw);
    while let Some(char) = rest.chars().next() {
        let escape = escapes.iter().find(|(escape, _)| rest.starts_with(escape));
        let (len, decoded) =
            escape.map_or((char.len_utf8(), char.to_string()), |(escape, text)| (escape.len(), (*text).into()));
        text.push_str(&decoded);
        rest = &rest[len..];
    }
    text
}
