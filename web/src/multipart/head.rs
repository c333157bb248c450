//! The fields of a part.

use super::disposition::{Parameters, is_token, trim};
use super::{Fault, MultipartError, Text};

/// The fields of a part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartHead<'c> {
    name: Text<'c>,
    file_name: Option<Text<'c>>,
    content_type: Option<&'c str>,
}

impl<'c> PartHead<'c> {
    /// The name of the form's control.
    #[must_use]
    pub const fn name(&self) -> Text<'c> {
        self.name
    }

    /// The name of the file, if the part is one. Browsers send an empty one if no file was chosen. Use [`Text::file_name`] before it
    /// becomes part of a path.
    #[must_use]
    pub const fn file_name(&self) -> Option<Text<'c>> {
        self.file_name
    }

    /// The media type that the client claims, as it was sent; without one it is `text/plain` (RFC 7578 §4.4).
    #[must_use]
    pub const fn content_type(&self) -> Option<&'c str> {
        self.content_type
    }

    /// Reads lines of fields, without the CRLF of the last one.
    pub(super) fn parse(head: &'c [u8]) -> Result<Self, MultipartError> {
        let fault = |fault| Err(MultipartError::Malformed(fault));
        let Ok(text) = str::from_utf8(head) else { return fault(Fault::NotText) };
        let (mut names, mut content_type) = (None, None);
        for line in text.split("\r\n") {
            let Some((name, value)) = line.split_once(':') else { return fault(Fault::Field) };
            if !is_token(name) || value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return fault(Fault::Field);
            }
            let value = trim(value);
            if name.eq_ignore_ascii_case("Content-Disposition") {
                if names.replace(disposition(value)?).is_some() {
                    return fault(Fault::Disposition);
                }
            } else if name.eq_ignore_ascii_case("Content-Type") {
                if content_type.replace(value).is_some() {
                    return fault(Fault::ContentType);
                }
            } else if name.eq_ignore_ascii_case("Content-Transfer-Encoding") {
                let is_plain = ["7bit", "8bit", "binary"].iter().any(|plain| value.eq_ignore_ascii_case(plain));
                if !is_plain {
                    return fault(Fault::TransferEncoding);
                }
            }
        }
        let Some((name, file_name)) = names else { return fault(Fault::Disposition) };
        Ok(Self { name, file_name, content_type })
    }
}

/// `name` and `filename` in the value of `Content-Disposition`.
fn disposition(value: &str) -> Result<(Text<'_>, Option<Text<'_>>), MultipartError> {
    let error = MultipartError::Malformed(Fault::Disposition);
    let (kind, parameters) = Parameters::of(value);
    if !kind.eq_ignore_ascii_case("form-data") {
        return Err(error);
    }
    let (mut name, mut file_name, mut extended) = (None, None, None);
    for parameter in parameters {
        let (key, value) = parameter.map_err(|_| error)?;
        let is_new = if key.eq_ignore_ascii_case("name") {
            name.replace(value).is_none()
        } else if key.eq_ignore_ascii_case("filename") {
            file_name.replace(value).is_none()
        } else if key.eq_ignore_ascii_case("filename*") {
            extended.replace(value).is_none()
        } else {
            true
        };
        if !is_new {
            return Err(error);
        }
    }
    let file_name = file_name.map(Text::new);
    let is_clear = extended.is_none_or(|extended| file_name.is_some_and(|name| name.is_extended_as(extended)));
    if !is_clear {
        return Err(MultipartError::Malformed(Fault::ExtendedName));
    }
    Ok((Text::new(name.ok_or(error)?), file_name))
}
