//! Forms with files: what clients send, what is refused, and that the parts do not depend on how the content arrives.

use aurora_http::testing::Client;
use aurora_http_core::handler::{Handler, Respond, receiving};
use aurora_http_core::request::Method;
use aurora_http_core::writer::ResponseWriter;
use aurora_http_web::multipart::{Event, Fault, Multipart, MultipartError};
use aurora_http_web::{Call, Problem, Routes, streaming};
use proptest::collection::vec;
use proptest::prelude::*;

#[allow(unreachable_pub)] // not reachable from here
#[path = "../../fuzz/src/multipart.rs"]
mod check;

/// Name, file name, media type and content of a part.
type Part = (String, Option<String>, Option<String>, Vec<u8>);

/// All parts of a form that arrives in pieces of these lengths, one after the other and again.
fn parts(mut form: Multipart, content: &[u8], lengths: &[usize]) -> Result<Vec<Part>, MultipartError> {
    let mut parts: Vec<Part> = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for length in lengths.iter().cycle() {
        end = (end + length).min(content.len());
        loop {
            let (count, event) = form.step(&content[begin..end], end == content.len())?;
            begin += count;
            let Some(event) = event else { break };
            match event {
                Event::Part(part) => parts.push((
                    part.name().to_string(),
                    part.file_name().map(|name| name.to_string()),
                    part.content_type().map(str::to_owned),
                    Vec::new(),
                )),
                Event::Data(data) => parts.last_mut().expect("a part").3.extend(data),
                Event::End => {}
            }
        }
        if end == content.len() {
            break;
        }
    }
    Ok(parts)
}

fn of_fields(fields: &str, content: &str) -> String {
    format!("--x\r\n{fields}\r\n\r\n{content}\r\n--x--\r\n")
}

fn read(content: impl AsRef<[u8]>) -> Result<Vec<Part>, MultipartError> {
    parts(Multipart::new(b"x")?, content.as_ref(), &[1 << 20])
}

#[test]
fn names_are_decoded_as_their_senders_meant_them() {
    // The parameters, what they mean, and the file name that is fit for a path.
    let rows: [(&str, &str, Option<&str>, Option<&str>); 18] = [
        (r#"name="a""#, "a", None, None),
        (r#"name=a"#, "a", None, None),
        (r#"NAME="a";FileName="b""#, "a", Some("b"), Some("b")),
        (r#" filename="b" ; x=y ; name="""#, "", Some("b"), Some("b")),
        // Browsers: nothing but quotation marks and line ends is escaped.
        (
            r#"name="a%22b"; filename="100% %41 C:\dir\f%22.txt""#,
            "a\"b",
            Some("100% %41 C:\\dir\\f\".txt"),
            Some("f\".txt"),
        ),
        (r#"name="two%0D%0Alines"; filename="a%0Ab""#, "two\r\nlines", Some("a\nb"), None),
        (r#"name="a%0a%2522""#, "a%0a%2522", None, None),
        // Libraries: a backslash before quotation marks and backslashes.
        (r#"name="a\"b\\c"; filename="d\\e\"f""#, "a\"b\\c", Some("d\\e\"f"), Some("e\"f")),
        (r#"name="a\b""#, "a\\b", None, None),
        ("name=\"naïve\"; filename=\"日本.txt\"", "naïve", Some("日本.txt"), Some("日本.txt")),
        // Semicolons and equals signs within quotation marks.
        (r#"name="a;b=c"; filename="d; e=f""#, "a;b=c", Some("d; e=f"), Some("d; e=f")),
        (r#"name="a"; filename="../../etc/passwd""#, "a", Some("../../etc/passwd"), Some("passwd")),
        (r#"name="a"; filename="dir/..""#, "a", Some("dir/.."), None),
        (r#"name="a"; filename="dir/""#, "a", Some("dir/"), None),
        (r#"name="a"; filename="""#, "a", Some(""), None),
        ("name=\"a\"; filename=\"b\u{85}\"", "a", Some("b\u{85}"), None),
        // .NET says it twice.
        ("name=a; filename=\"b c.txt\"; filename*=utf-8''b%20c.txt", "a", Some("b c.txt"), Some("b c.txt")),
        ("name=a; filename*=UTF-8'de'%c3%A9%22; filename=\"é%22\"", "a", Some("é\""), Some("é\"")),
    ];
    for (parameters, name, file_name, as_path) in rows {
        let content = of_fields(&format!("Content-Disposition: form-data; {parameters}"), "v");
        let mut form = Multipart::new(b"x").unwrap();
        let step = form.step(content.as_bytes(), true);
        let Ok((_, Some(Event::Part(part)))) = step else { panic!("{parameters}: {step:?}") };
        assert!(part.name() == name, "{parameters}: {:?}", part.name());
        assert_eq!(part.name().decode_into(&mut [0; 100]), Some(name), "{parameters}");
        assert_eq!(part.name().decode_into(&mut vec![0; name.len().saturating_sub(1)]).is_some(), name.is_empty());
        assert_eq!(part.file_name().map(|name| name.to_string()).as_deref(), file_name, "{parameters}");
        assert_eq!(
            part.file_name().and_then(|name| name.file_name(&mut [0; 255]).map(str::to_owned)).as_deref(),
            as_path
        );
    }
    let long = format!("Content-Disposition: form-data; name=\"a\"; filename=\"{}\"", "f".repeat(256));
    let mut form = Multipart::new(b"x").unwrap();
    let long = of_fields(&long, "");
    let Ok((_, Some(Event::Part(part)))) = form.step(long.as_bytes(), true) else { panic!("a part") };
    assert_eq!(part.file_name().and_then(|name| name.file_name(&mut [0; 300]).map(str::len)), None, "256 bytes");
}

#[test]
fn malformed_forms_are_refused_and_the_error_says_why() {
    use Fault::{
        Boundary, ContentType, Disposition, Epilogue, ExtendedName, Field, NotText, Preamble, TransferEncoding,
    };
    let ok = "Content-Disposition: form-data; name=\"a\"";
    let fields = |fields: &str| of_fields(fields, "v").into_bytes();
    let rows: Vec<(Vec<u8>, Option<Fault>)> = vec![
        (fields("X: y"), Some(Disposition)),
        (b"--x\r\n\r\nv\r\n--x--".to_vec(), Some(Disposition)),
        (fields("Content-Disposition: attachment; name=\"a\""), Some(Disposition)),
        (fields("Content-Disposition: form-data"), Some(Disposition)),
        (fields("Content-Disposition: form-data; filename=\"a\""), Some(Disposition)),
        (fields("Content-Disposition: form-data; name=\"a\"; name=\"b\""), Some(Disposition)),
        (fields("Content-Disposition: form-data; name=\"a\"; filename=b; FILENAME=c"), Some(Disposition)),
        (fields("Content-Disposition: form-data; name=\"a"), Some(Disposition)),
        (fields("Content-Disposition: form-data; name=\"a\\\""), Some(Disposition)),
        (fields("Content-Disposition: form-data; name=\"a\"b"), Some(Disposition)),
        (fields("Content-Disposition: form-data; name= \"a\""), Some(Disposition)),
        (fields("Content-Disposition: form-data; name =\"a\""), Some(Disposition)),
        (fields("Content-Disposition: form-data; name=a b"), Some(Disposition)),
        (fields("Content-Disposition: form-data; name="), Some(Disposition)),
        (fields("Content-Disposition: form-data; name=\"a\";"), Some(Disposition)),
        (fields(&format!("{ok}\r\n{ok}")), Some(Disposition)),
        (fields(&format!("{ok}; filename*=utf-8''b")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=b; filename*=utf-8''c")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=bc; filename*=utf-8''b")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=b; filename*=utf-8''bc")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=b; filename*=utf-8''b%2")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=b; filename*=utf-8''b%00")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=b; filename*=iso-8859-1''b")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=b; filename*=b")), Some(ExtendedName)),
        (fields(&format!("{ok}; filename=b; filename*=utf-8''b; filename*=utf-8''b")), Some(Disposition)),
        (fields(&format!("{ok}\r\nContent-Type: a/b\r\ncontent-type: a/b")), Some(ContentType)),
        (fields(&format!("{ok}\r\nContent-Transfer-Encoding: base64")), Some(TransferEncoding)),
        (fields(&format!("{ok}\r\n name=\"b\"")), Some(Field)),
        (fields(&format!("{ok}\r\nno colon")), Some(Field)),
        (fields(&format!("{ok}\r\nX : y")), Some(Field)),
        (fields(&format!("{ok}\r\nX: a\nY: b")), Some(Field)),
        (fields(&format!("{ok}\r\nX: a\0b")), Some(Field)),
        (b"--x\r\nContent-Disposition: form-data; name=\"\xef\"\r\n\r\nv\r\n--x--".to_vec(), Some(NotText)),
        (format!("hello\r\n{}", of_fields(ok, "v")).into_bytes(), Some(Preamble)),
        (of_fields(ok, "v").replace("--x", "--y").into_bytes(), Some(Preamble)),
        (format!("\r\n\r\n{}", of_fields(ok, "v")).into_bytes(), Some(Preamble)),
        (of_fields(ok, "v\r\n--xy").into_bytes(), Some(Boundary)),
        (of_fields(ok, "v\r\n--x \r\n").into_bytes(), Some(Boundary)),
        (of_fields(ok, "v\r\n--x-y").into_bytes(), Some(Boundary)),
        (of_fields(ok, "v\r\n--x\ry").into_bytes(), Some(Boundary)),
        (format!("{}\r\n", of_fields(ok, "v")).into_bytes(), Some(Epilogue)),
        (format!("{}--x", of_fields(ok, "v")).into_bytes(), Some(Epilogue)),
        // Not complete.
        (Vec::new(), None),
        (b"--x".to_vec(), None),
        (format!("--x\r\n{ok}\r\n").into_bytes(), None),
        (of_fields(ok, "v").trim_end_matches("--\r\n").into(), None),
        (of_fields(ok, "v").trim_end_matches('\n').into(), None),
    ];
    for (content, fault) in rows {
        let expected = fault.map_or(MultipartError::Incomplete, MultipartError::Malformed);
        assert_eq!(read(&content), Err(expected), "{}", content.escape_ascii());
        assert_eq!(parts(Multipart::new(b"x").unwrap(), &content, &[1]), Err(expected), "{}", content.escape_ascii());
        assert_eq!(expected.status(), 400);
    }
    assert_eq!(read("--x--"), Ok(Vec::new()), "a form without controls");
    assert_eq!(read(format!("\r\n{}", of_fields(ok, "v"))).map(|parts| parts.len()), Ok(1));
}

#[test]
fn every_limit_is_exact() {
    let ok = "Content-Disposition: form-data; name=\"a\"";
    let twice = of_fields(ok, "1234").replace("--x--", &of_fields(ok, "5678"));
    let twice = twice.trim_end_matches("\r\n");
    let head_len = ok.len() as u16 + 4;
    let form = || Multipart::new(b"x").unwrap();
    let rows = [
        (form().parts_max(2).part_bytes_max(4).bytes_max(8).head_bytes_max(head_len), Ok(2)),
        (form().parts_max(1), Err(MultipartError::TooManyParts)),
        (form().part_bytes_max(3), Err(MultipartError::PartTooLong)),
        (form().bytes_max(7), Err(MultipartError::TooLong)),
        (form().head_bytes_max(head_len - 1), Err(MultipartError::HeadTooLong)),
    ];
    for (form, expected) in rows {
        for length in [1, 3, twice.len()] {
            let read = parts(form.clone(), twice.as_bytes(), &[length]);
            assert_eq!(read.map(|parts| parts.len()), expected, "{form:?} in pieces of {length}");
        }
    }
    // Fields that never end are refused while they arrive.
    let endless = format!("--x\r\nX: {}", "y".repeat(3000));
    assert_eq!(form().step(endless.as_bytes(), false), Err(MultipartError::HeadTooLong));
}

/// Answers with a line for each part.
fn list(_: &mut (), call: &Call<'_>, _: &mut ResponseWriter<'_>) -> Result<impl Respond + use<>, Problem> {
    let mut form = Multipart::of(call)?.bytes_max(50_000);
    let (mut lines, mut bytes) = (String::new(), 0);
    Ok(receiving(move |content, response| {
        while let Some(event) = form.next(content)? {
            match event {
                Event::Part(part) => lines += &format!("{:?} {:?} ", part.name(), part.file_name()),
                Event::Data(data) => bytes += data.len(),
                Event::End => lines += &format!("{}\n", std::mem::take(&mut bytes)),
            }
        }
        if content.ended() {
            response.body(&lines)?;
        }
        Ok::<_, Problem>(())
    }))
}

fn handler() -> impl Handler {
    Routes::new().on(Method::Post, "/", streaming(list)).with_state(())
}

#[test]
fn a_handler_reads_forms_as_they_arrive() {
    let mut client = Client::new(handler());
    let form = format!(
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"b\"; \
         filename=\"c\"\r\n\r\n{}\r\n--x--\r\n",
        "\r\n--".repeat(10_000)
    );
    let listing = "\"a\" None 1\n\"b\" Some(\"c\") 40000\n";
    let media_type = [("Content-Type", "multipart/form-data; boundary=x")];
    let response = client.send("POST", "/", &media_type, form.as_bytes());
    assert_eq!((response.status(), response.text()), (200, listing));
    // In chunks of one byte, then of a few.
    for size in [1, 7, 1000] {
        let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: \
                            multipart/form-data; charset=utf-8; boundary=\"x\"\r\n\r\n"
            .to_vec();
        for chunk in form.as_bytes().chunks(size) {
            request.extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
        let response = String::from_utf8(client.exchange(&request)).expect("text");
        assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with(listing), "{size}: {response}");
    }
}

#[test]
fn what_is_no_form_gets_a_status_that_says_so() {
    let mut client = Client::new(handler());
    let long = "x".repeat(71);
    let (long, most) =
        (format!("multipart/form-data; boundary={long}"), format!("multipart/form-data; boundary={}", &long[1..]));
    let empty = |boundary: &str| format!("--{boundary}--");
    let rows: [(&[&str], String, u16); 15] = [
        (&[], empty("x"), 415),
        (&["application/x-www-form-urlencoded"], empty("x"), 415),
        (&["multipart/mixed; boundary=x"], empty("x"), 415),
        (&["multipart/form-data; boundary=x", "multipart/form-data; boundary=x"], empty("x"), 415),
        (&["multipart/form-data"], empty("x"), 400),
        (&["multipart/form-data; boundary="], empty(""), 400),
        (&["multipart/form-data; boundary=\"\""], empty(""), 400),
        (&["multipart/form-data; boundary=x; boundary=y"], empty("x"), 400),
        (&["multipart/form-data; boundary=\"x \""], empty("x "), 400),
        (&["multipart/form-data; boundary=\"x\"y"], empty("x"), 400),
        (&[&long], empty(&"x".repeat(71)), 400),
        (&[&most], empty(&"x".repeat(70)), 200),
        (&["Multipart/Form-Data;boundary=\"a b\""], empty("a b"), 200),
        (&["multipart/form-data; boundary=a=/b; charset=utf-8"], empty("a=/b"), 200),
        (&["multipart/form-data; boundary=x"], empty("y"), 400),
    ];
    for (types, content, status) in rows {
        let fields: Vec<_> = types.iter().map(|value| ("Content-Type", *value)).collect();
        assert_eq!(client.send("POST", "/", &fields, content.as_bytes()).status(), status, "{types:?}");
    }
    let long = of_fields("Content-Disposition: form-data; name=\"a\"", &"v".repeat(60_000));
    let response = client.send("POST", "/", &[("Content-Type", "multipart/form-data; boundary=x")], long.as_bytes());
    assert_eq!(response.status(), 413);
    assert!(response.text().contains("the form is too long"), "{}", response.text());
}

/// Text that looks like a part of a form.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "\r", "\n", "\r\n", "-", "--", "x", "--x", "\r\n--", "\r\n--x", "\r\n--x\r\n", "\r\n--x--", "--x--\r\n", "\r\n\r\n", ":",
            "Content-Disposition: form-data; name=\"a\"", "; filename=\"b\"", "; filename*=utf-8''b", "\\\"", "%22", "\"", ";", " ", "v",
            "\r\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ]
}

/// Content that does not contain the boundary of a part, but all that looks like it.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        prop::sample::select(vec!["\r", "\n", "\r\n", "-", "\r\n-", "\r\n--", "\r\n--Bound", "ary", "value", "\0"]);
    vec(piece, 0..20).prop_map(|pieces| pieces.concat().replace("\r\n--Boundary", "?").into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was written as a browser does is read again, however it arrives.
    #[test]
    fn parts_that_were_written_are_read_again(
        written in vec((".{0,9}", prop::option::of(".{0,9}"), content()), 0..6),
        lengths in vec(1_usize..40, 1..20),
    ) {
        // As HTML prescribes it; a backslash before a quotation mark or another backslash cannot be told from an escape.
        let escape = |text: &str| {
            text.replace(['\\', '\0'], "/").replace(|char: char| char.is_ascii_control() && !"\r\n".contains(char), "_")
                .replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
        };
        let expect = |text: &str| {
            text.replace(['\\', '\0'], "/").replace(|char: char| char.is_ascii_control() && !"\r\n".contains(char), "_")
        };
        let (mut form, mut expected) = (Vec::new(), Vec::new());
        for (name, file_name, content) in written {
            form.extend(format!("--Boundary\r\nContent-Disposition: form-data; name=\"{}\"", escape(&name)).bytes());
            if let Some(file_name) = &file_name {
                form.extend(format!("; filename=\"{}\"\r\nContent-Type: a/b", escape(file_name)).bytes());
            }
            form.extend([b"\r\n\r\n", &content[..], b"\r\n"].concat());
            let media_type = file_name.as_ref().map(|_| "a/b".to_owned());
            expected.push((expect(&name), file_name.as_deref().map(expect), media_type, content));
        }
        form.extend(b"--Boundary--\r\n");
        // A name that looks like an escape.
        prop_assume!(expected.iter().all(|(name, file_name, _, _)| {
            !name.contains("%22") && !name.contains("%0") && !file_name.as_ref().is_some_and(|name| name.contains('%'))
        }));
        prop_assert_eq!(parts(Multipart::new(b"Boundary").unwrap(), &form, &lengths), Ok(expected));
    }

    /// What only looks like a form is refused or read in the same way however it arrives, and as another parser reads it.
    #[test]
    fn fragments_are_read_like_by_another_parser(fragments in vec(fragment(), 0..30), size in 1_u8..30, framed: bool) {
        let mut input = vec![size];
        if framed {
            input.extend(b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
        }
        input.extend(fragments.concat());
        if framed {
            input.extend(b"\r\n--x--\r\n");
        }
        check::check(&input);
    }
}
