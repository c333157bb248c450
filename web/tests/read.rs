//! Forms, cookies and preferences, as they come from a client.

use aurora_http::testing::Client;
use aurora_http_core::handler::handler_fn;
use aurora_http_core::request::Request;
use aurora_http_core::writer::WriteError;
use aurora_http_web::cookie::{self, SameSite, SetCookie};
use aurora_http_web::form::Form;
use aurora_http_web::{Problem, Routes, accept};
use proptest::prelude::*;

/// What a request with this field is answered by a function that says what it would take.
fn chosen(name: &str, value: Option<&str>, choose: fn(&Request<'_>) -> Option<&'static str>) -> String {
    let mut client = Client::new(handler_fn(|request, response| response.body(choose(request).unwrap_or("none"))));
    let fields: Vec<_> = value.map(|value| (name, value)).into_iter().collect();
    client.send("GET", "/", &fields, b"").text().to_owned()
}

#[test]
fn media_types_are_chosen_by_weight_and_by_how_much_a_range_says() {
    // The example of RFC 9110 §12.5.1: each type against one that is better or worse by a little.
    let example = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed,\
                   text/plain;format=fixed;q=0.4, */*;q=0.5";
    let order = |request: &Request<'_>| {
        let types = ["text/html", "text/plain;format=fixed", "image/jpeg", "text/plain", "text/plain;format=flowed"];
        // Each pair in the order of the RFC's table, the worse one offered first.
        let is_ordered =
            types.windows(2).all(|pair| accept::media_type(request, pair.iter().copied()) == Some(pair[1]));
        Some(if is_ordered { "as in the table" } else { "not as in the table" })
    };
    assert_eq!(chosen("Accept", Some(example), order), "as in the table");
    for (value, expected) in [
        (None, "application/json"),
        (Some(""), "application/json"),
        (Some("*/*"), "application/json"),
        (Some("text/html"), "text/html"),
        (Some("TEXT/HTML;charset=utf-8;q=0.1"), "none"),
        (Some("text/*"), "text/html"),
        (Some("text/html, application/json"), "application/json"),
        (Some("text/html, application/json;q=0.9"), "text/html"),
        (Some("application/json;q=0.999, text/html;Q=1.000"), "text/html"),
        (Some("application/json; q=0, */*;q=0.1"), "text/html"),
        (Some("image/png"), "none"),
        (Some("text/html;q=0, application/*;q=0.0"), "none"),
        (Some("text/html;q=2"), "none"),
        (Some("text/html;q=0.1234, application/json;q=0.001"), "application/json"),
        (Some("image/png;a=\"x, text/html\", application/json"), "application/json"),
        (Some(", ,text/html ,"), "text/html"),
        (Some("text"), "none"),
        (Some("*/html"), "none"),
    ] {
        let choose = |request: &Request<'_>| accept::media_type(request, ["application/json", "text/html"]);
        assert_eq!(chosen("Accept", value, choose), expected, "{value:?}");
    }
}

#[test]
fn codings_and_languages_are_chosen() {
    for (value, expected) in [
        (None, "none"),
        (Some(""), "none"),
        (Some("gzip"), "gzip"),
        (Some("gzip, br"), "br"),
        (Some("gzip, br;q=0.5"), "gzip"),
        (Some("GZIP;q=0.2"), "gzip"),
        (Some("gzip;q=0.2, identity;q=0.5"), "none"),
        (Some("gzip;q=0.5, identity;q=0.5"), "gzip"),
        (Some("identity;q=0, *"), "br"),
        (Some("*;q=0"), "none"),
        (Some("br;q=0, gzip;q=0"), "none"),
        (Some("deflate"), "none"),
    ] {
        assert_eq!(
            chosen("Accept-Encoding", value, |request| accept::encoding(request, ["br", "gzip"])),
            expected,
            "{value:?}"
        );
    }
    for (value, expected) in [
        (None, "en"),
        (Some("de"), "de-CH"),
        (Some("DE-ch, en;q=0.5"), "de-CH"),
        (Some("de-AT, en;q=0.1"), "en"),
        (Some("d, fr"), "none"),
        (Some("*"), "en"),
        (Some("*, en;q=0.5"), "de-CH"),
        (Some("de-CH-1996"), "none"),
    ] {
        assert_eq!(
            chosen("Accept-Language", value, |request| accept::language(request, ["en", "de-CH"])),
            expected,
            "{value:?}"
        );
    }
}

#[test]
fn cookies_are_read_as_browsers_send_them() {
    let handler = handler_fn(|request, response| {
        let all: Vec<_> = cookie::all(request).map(|(name, value)| format!("{name}={value}")).collect();
        response.field("X-First", cookie::get(request, "a").unwrap_or("none"))?;
        response.body(all.join("|"))
    });
    let mut client = Client::new(handler);
    for (value, first, all) in [
        ("a=1; b=2", "1", "a=1|b=2"),
        ("b=2;a=\"quoted\" ;a=3", "quoted", "b=2|a=quoted|a=3"),
        ("a=; c = d=e", "", "a=|c=d=e"),
        ("A=1; noequals; ;", "none", "A=1"),
        ("a=\"half", "\"half", "a=\"half"),
    ] {
        let response = client.send("GET", "/", &[("Cookie", value)], b"");
        assert_eq!((response.field("X-First"), response.text()), (Some(first), all), "{value}");
    }
    let response = client.send("GET", "/", &[("Cookie", "b=1"), ("Cookie", "a=2")], b"");
    assert_eq!(response.field("X-First"), Some("2"), "several fields are one list");
}

/// The value of Set-Cookie, or what is wrong with it.
fn set<V: std::fmt::Display + Copy>(cookie: SetCookie<'static, V>) -> String {
    let mut client = Client::new(handler_fn(move |_, response| match cookie.write(response) {
        Ok(()) => response.body("set"),
        Err(error) => response.body(format!("{error:?}")),
    }));
    let response = client.get("/");
    response.field("Set-Cookie").unwrap_or(response.text()).to_owned()
}

#[test]
fn cookies_are_set_with_their_attributes_and_none_breaks_out_of_its_field() {
    assert_eq!(set(SetCookie::new("id", 7)), "id=7; Path=/; HttpOnly; SameSite=Lax");
    let whole = SetCookie::new("id", "a.b-c").path("/shop").domain("example.org").max_age_s(60).secure();
    assert_eq!(
        set(whole.same_site(SameSite::None).readable_by_scripts()),
        "id=a.b-c; Path=/shop; Domain=example.org; Max-Age=60; Secure; SameSite=None"
    );
    assert_eq!(
        set(SetCookie::new("__Host-id", "1").secure().same_site(SameSite::Strict)),
        "__Host-id=1; Path=/; Secure; HttpOnly; SameSite=Strict"
    );
    for value in ["a b", "a;b", "a,b", "a\"b", "a\\b", "a\r\nSet-Cookie: b=c", "\u{e9}", "\0"] {
        assert_eq!(set(SetCookie::new("id", value)), "InvalidValue", "{value:?}");
    }
    assert_eq!(set(SetCookie::new("id", "1").path("/;Domain=evil")), "InvalidValue");
    assert_eq!(set(SetCookie::new("id", "1").domain("a\nb")), "InvalidValue");
    assert_eq!(set(SetCookie::new("id", "1").same_site(SameSite::None)), "InvalidValue");
    for name in ["", "a b", "a=b", "a;b", "\u{e9}", "__Secure-a", "__host-a"] {
        assert_eq!(set(SetCookie::new(name, "1")), "InvalidName", "{name:?}");
    }
    assert_eq!(set(SetCookie::new("__Host-a", "1").secure().path("/x")), "InvalidName");
    assert_eq!(set(SetCookie::new("__Host-a", "1").secure().domain("a.b")), "InvalidName");
    let long: &'static str = "v".repeat(4096).leak();
    assert_eq!(set(SetCookie::new("id", long)), "TooLarge");
}

#[test]
fn forms_are_decoded_and_what_is_wrong_with_them_is_said() {
    let routes = Routes::new()
        .post("/typed", |_: &mut (), call, response| {
            let form = Form::of(call)?;
            let (what, count): (String, u8) = (form.parse("what")?, form.parse_or("count", 1)?);
            response.body(format!("{count} {what}"))?;
            Ok::<_, Error>(())
        })
        .post("/pairs", |_, call, response| {
            let form = Form::of(call)?;
            let mut scratch = [0; 16];
            let pairs: Result<Vec<_>, _> = form.pairs(&mut scratch).collect();
            response.body(format!("{:?}", pairs?))
        });
    let mut client = Client::new(routes.with_state(()));
    let form = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
    let long = format!("long{}=1&what=tea", "k".repeat(2_000));
    let too_long = format!("what={}", "%61".repeat(513));
    for (content, status, text) in [
        ("what=tea&count=3", 200, "3 tea"),
        ("what=black+tea%21", 200, "1 black tea!"),
        ("%77hat=%c3%a9&count=", 200, "1 \u{e9}"),
        ("what=", 200, "1 "),
        (&long, 200, "1 tea"),
        ("", 422, "the form has no what\n"),
        ("What=tea", 422, "the form has no what\n"),
        ("what=tea&count=256", 422, "the value of count is invalid\n"),
        ("what=%zz", 400, "the form cannot be read: a malformed escape at byte 0\n"),
        ("%=1&what=tea", 400, "the form cannot be read: a malformed escape at byte 0\n"),
        ("what=%ff", 400, "the form cannot be read: the decoded bytes are not UTF-8\n"),
        (&too_long, 413, "the form cannot be read: the buffer is full\n"),
    ] {
        let response = client.send("POST", "/typed", &form, content.as_bytes());
        assert_eq!((response.status(), response.text()), (status, text), "{content}");
    }
    let response = client.send("POST", "/pairs", &form, b"a=1&b=+&c");
    assert_eq!(response.text(), r#"[("a", "1"), ("b", " "), ("c", "")]"#);
    for fields in [&[][..], &[("Content-Type", "text/plain")], &[("Content-Type", "multipart/form-data; boundary=x")]] {
        assert_eq!(client.send("POST", "/typed", fields, b"what=tea").status(), 415);
        assert_eq!(client.send("POST", "/pairs", fields, b"what=tea").status(), 415);
    }
}

/// An error of a program's that has others inside.
enum Error {
    Form(aurora_http_web::form::FormError),
    Write(WriteError),
}

impl From<aurora_http_web::form::FormError> for Error {
    fn from(error: aurora_http_web::form::FormError) -> Self {
        Self::Form(error)
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl aurora_http_core::handler::ErrorResponse for Error {
    fn respond(&self, response: &mut aurora_http_core::writer::ResponseWriter<'_>) -> Result<(), WriteError> {
        match self {
            Self::Form(error) => error.respond(response),
            Self::Write(error) => Err(*error),
        }
    }
}

#[test]
fn problems_are_json_whatever_they_say_and_whoever_answers() {
    let routes = Routes::new()
        .get("/own", |_: &mut (), _, _| Err::<(), _>(Problem::new(409, "a \"quote\", a \\ and\nlines\u{1} of e")))
        .get("/begun/:id", |_, call, response| {
            response.field("X-Begun", "1")?;
            response.body(call.param::<u8>("id")?.to_string())?;
            Err::<(), Problem>(Problem::new(503, "too late"))
        })
        .get("/writes", |_, _, response| Ok::<_, Problem>(response.body(vec![0; 70_000])?));
    let mut client = Client::new(routes.with_state(()).on_refusal(Problem::refused));
    let own = r#"{"status":409,"title":"Conflict","detail":"a \"quote\", a \\ and\u000alines\u0001 of e"}"#;
    let param = r#"{"status":404,"title":"Not Found","detail":"a path parameter is invalid"}"#;
    for (method, target, status, expected) in [
        ("GET", "/own", 409, own),
        ("GET", "/begun/x", 404, param),
        ("GET", "/begun/1", 503, r#"{"status":503,"title":"Service Unavailable","detail":"too late"}"#),
        ("GET", "/writes", 500, r#"{"status":500,"title":"Internal Server Error"}"#),
        ("GET", "/nowhere", 404, r#"{"status":404,"title":"Not Found"}"#),
        ("PUT", "/own", 405, r#"{"status":405,"title":"Method Not Allowed"}"#),
        ("BREW", "/own", 501, r#"{"status":501,"title":"Not Implemented"}"#),
    ] {
        let response = client.send(method, target, &[], b"");
        assert_eq!((response.status(), response.text()), (status, expected), "{method} {target}");
        assert_eq!(response.field("Content-Type"), Some("application/problem+json"));
        assert_eq!(response.field("X-Begun"), None, "what was begun is gone");
    }
}

proptest! {
    /// Whatever fields hold, and whatever a form is, nothing panics; and what is chosen was offered.
    #[test]
    fn no_field_and_no_form_makes_it_panic(
        value in "[a-z*/;=,q.0-9\"\\\\ \u{e9}-]{0,40}",
        content in "[a-b%0-9&=+\u{e9}]{0,40}",
    ) {
        let routes = Routes::new().post("/", |_: &mut (), call, response| {
            let types = ["text/html", "a/b;c=d", ""];
            let chosen = [
                accept::media_type(call, types),
                accept::language(call, ["en", "de-CH", ""]),
                accept::encoding(call, ["gzip", "br", ""]),
            ];
            let cookies = cookie::all(call).map(|(name, value)| name.len() + value.len()).sum::<usize>();
            let form = Form::of(call)?;
            let found = form.text("a", &mut [0; 8]).is_ok() | form.pairs(&mut [0; 8]).all(|pair| pair.is_ok());
            Ok::<_, Problem>(response.body(format!("{chosen:?} {cookies} {found}"))?)
        });
        let fields = [
            ("Accept", &*value),
            ("Accept-Language", &value),
            ("Accept-Encoding", &value),
            ("Cookie", &value),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let response = Client::new(routes.with_state(())).send("POST", "/", &fields, content.as_bytes());
        prop_assert_eq!(response.status(), 200);
    }
}
