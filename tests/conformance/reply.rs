//! A strict reader of responses, and a case's expectation of one.

use std::fmt::Write as _;

/// A parsed response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
}

/// How the end of the response is determined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// The response is only a head.
    HeadOnly,
    Length,
    Chunked,
    /// The end of the connection.
    Close,
}

impl Response {
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether `close` is among the connection options.
    pub(crate) fn closes(&self) -> bool {
        self.values("Connection").iter().any(|options| options.split(", ").any(|option| option == "close"))
    }
}

/// Reads the response at the beginning of `bytes`, and returns it with its length; `None` while it is incomplete.
///
/// `head_only`: it answers HEAD, or is a 2xx to CONNECT. `ended`: nothing follows `bytes`.
pub(crate) fn read(bytes: &[u8], head_only: bool, ended: bool) -> Result<Option<(Response, usize)>, String> {
    let Some(head_len) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    // Bytes of 0x80 and above are opaque (RFC 9110 §5.5).
    let head: String = bytes[..head_len - 4].iter().copied().map(char::from).collect();
    let mut lines = head.split("\r\n");
    let status = status_line(lines.next().unwrap_or_default())?;
    let mut fields = Vec::new();
    for line in lines {
        fields.push(field_line(line)?);
    }
    let mut response = Response { status, fields, body: Vec::new(), framing: Framing::HeadOnly };
    let rest = &bytes[head_len..];
    let body_len = read_body(&mut response, rest, head_only, ended)?;
    Ok(body_len.map(|body_len| (response, head_len + body_len)))
}

fn status_line(line: &str) -> Result<u16, String> {
    let wrong = || format!("status line {line:?}");
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(wrong)?;
    let (digits, reason) = rest.split_once(' ').ok_or_else(wrong)?;
    let clean = digits.len() == 3
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && reason.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if clean { digits.parse().map_err(|_| wrong()) } else { Err(wrong()) }
}

fn field_line(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(": ").ok_or_else(|| format!("field line {line:?}"))?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let clean = !name.is_empty()
        && name.bytes().all(token)
        && !value.contains(|char: char| (char < ' ' && char != '\t') || char == '\u{7f}');
    if clean { Ok((name.to_owned(), value.to_owned())) } else { Err(format!("field line {line:?}")) }
}

/// The length of the message body at the beginning of `rest`.
fn read_body(response: &mut Response, rest: &[u8], head_only: bool, ended: bool) -> Result<Option<usize>, String> {
    let lengths = response.values("Content-Length").into_iter().map(str::to_owned).collect::<Vec<_>>();
    let codings = response.values("Transfer-Encoding").len();
    let status = response.status;
    if lengths.len() + codings > 1 {
        return Err(format!("{status}: {} Content-Length and {codings} Transfer-Encoding", lengths.len()));
    }
    if (status < 200 || status == 204) && lengths.len() + codings > 0 {
        return Err(format!("{status} tells a length"));
    }
    if head_only || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Some(0));
    }
    if let [length] = lengths.as_slice() {
        let length: usize = length.parse().map_err(|_| format!("Content-Length {length:?}"))?;
        response.framing = Framing::Length;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        response.body = body.to_vec();
        return Ok(Some(length));
    }
    if codings == 1 {
        response.framing = Framing::Chunked;
        return read_chunked(&mut response.body, rest);
    }
    response.framing = Framing::Close;
    response.body = rest.to_vec();
    Ok(ended.then_some(rest.len()))
}

fn read_chunked(body: &mut Vec<u8>, bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut rest = bytes;
    loop {
        let Some(line_len) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&rest[..line_len]).into_owned();
        let size = usize::from_str_radix(&line, 16).map_err(|_| format!("chunk size {line:?}"))?;
        rest = &rest[line_len + 2..];
        let (Some(data), Some(behind)) = (rest.get(..size), rest.get(size..size + 2)) else { return Ok(None) };
        if behind != b"\r\n" {
            return Err(format!("a chunk ends in {:?}", behind.escape_ascii().to_string()));
        }
        body.extend_from_slice(data);
        rest = &rest[size + 2..];
        if size == 0 {
            return Ok(Some(bytes.len() - rest.len()));
        }
    }
}

/// What a case expects of one response.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Exactly these values of a field, in order; none at all when empty.
    pub(crate) fields: Vec<(&'static str, Vec<String>)>,
    /// The body; an answer of the server's own has any text.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) framing: Option<Framing>,
    /// It answers HEAD, or is a 2xx to CONNECT.
    pub(crate) head_only: bool,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, fields: Vec::new(), body: None, framing: None, head_only: false }
    }

    /// The probe's default answer.
    pub(crate) fn ok() -> Self {
        Self::new(200).body("ok")
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        match self.fields.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => values.push(value.into()),
            None => self.fields.push((name, vec![value.into()])),
        }
        self
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.fields.push((name, Vec::new()));
        self
    }

    pub(crate) fn framed(mut self, framing: Framing) -> Self {
        self.framing = Some(framing);
        self
    }

    /// Only the head is sent.
    pub(crate) fn head_only(mut self) -> Self {
        self.head_only = true;
        self.framed(Framing::HeadOnly).body("")
    }

    pub(crate) fn check(&self, response: &Response) -> Result<(), String> {
        let mut wrong = String::new();
        if response.status != self.status {
            let _ = write!(wrong, "status {} instead of {}; ", response.status, self.status);
        }
        for (name, wanted) in &self.fields {
            let values = response.values(name);
            if values != wanted.iter().map(String::as_str).collect::<Vec<_>>() {
                let _ = write!(wrong, "{name} {values:?} instead of {wanted:?}; ");
            }
        }
        match &self.body {
            Some(body) if *body != response.body => {
                let text = |bytes: &[u8]| bytes[..bytes.len().min(400)].escape_ascii().to_string();
                let lengths = format!("{} bytes instead of {}", response.body.len(), body.len());
                let _ = write!(wrong, "body of {lengths}: {} instead of {}; ", text(&response.body), text(body));
            }
            _ => {}
        }
        if let Some(framing) = self.framing.filter(|framing| *framing != response.framing) {
            let _ = write!(wrong, "framed by {:?} instead of {framing:?}; ", response.framing);
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong}in {response:?}")) }
    }
}

/// Whether `date` is an IMF-fixdate (RFC 9110 §5.6.7) of a day that exists.
pub(crate) fn is_imf_fixdate(date: &str) -> bool {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = |range: std::ops::Range<usize>| date.get(range)?.parse::<u64>().ok();
    let parts = (|| {
        let month = MONTHS.iter().position(|month| date.get(8..11) == Some(month))? as u64 + 1;
        Some((number(5..7)?, month, number(12..16)?, number(17..19)?, number(20..22)?, number(23..25)?))
    })();
    let Some((day, month, year, hour, minute, second)) = parts else { return false };
    // Days since 1970-01-01, a Thursday.
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1970..=9999).contains(&year) || day == 0 || day > lengths[month as usize - 1] {
        return false;
    }
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let days = years + lengths[..month as usize - 1].iter().sum::<u64>() + day - 1;
    let name = DAYS[(days % 7) as usize];
    let month = MONTHS[month as usize - 1];
    hour < 24
        && minute < 60
        && second < 61
        && date == format!("{name}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}
