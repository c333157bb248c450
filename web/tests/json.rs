//! JSON by both crates.

use aurora_http::testing::Client;
use aurora_http_core::writer::ResponseWriter;
use aurora_http_web::{Call, Routes, json, json_core};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Item<'a> {
    name: &'a str,
    price: u8,
}

fn client() -> Client<impl aurora_http_core::handler::Handler> {
    let hosted = |_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>| {
        let item: Item<'_> = json::read(call)?;
        Ok::<_, json::JsonError>(json::write(response, 201, &item)?)
    };
    let bare = |_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>| {
        let item: Item<'_> = json_core::read(call, &mut [0; 8])?;
        Ok::<_, json_core::JsonError>(json_core::write(response, 201, &item, 32)?)
    };
    let keys = |_: &mut (), _: &Call<'_>, response: &mut ResponseWriter<'_>| {
        json::write(response, 200, &std::collections::BTreeMap::from([([1, 2], 3)]))
    };
    let long = |_: &mut (), _: &Call<'_>, response: &mut ResponseWriter<'_>| {
        json::write(response, 200, &vec!["0123456789"; 10_000])
    };
    Client::new(
        Routes::new().post("/hosted", hosted).post("/bare", bare).get("/keys", keys).get("/long", long).with_state(()),
    )
}

#[test]
fn values_come_and_go_and_what_is_no_json_is_told_apart_from_what_does_not_fit() {
    let mut client = client();
    for (media_type, content, status, text) in [
        ("application/json", r#"{"name":"tea","price":3}"#, 201, r#"{"name":"tea","price":3}"#),
        ("application/merge-patch+JSON; a=b", r#" {"price":3,"name":"tea" } "#, 201, r#"{"name":"tea","price":3}"#),
        ("application/json", r#"{"name":"tea","price":300}"#, 0, ""),
        ("application/json", r#"{"name":"tea"}"#, 422, "missing field"),
        ("application/json", r#"{"name":1,"price":3}"#, 422, "nvalid type"),
        ("application/json", r#"{"name":"tea","price":3"#, 400, ""),
        ("application/json", r#"{"name":"tea","price":3} x"#, 400, ""),
        ("application/json", "", 400, ""),
        ("application/json", "{", 400, ""),
        ("text/plain", "{}", 415, "JSON is expected"),
        ("application/jsonp", "{}", 415, "JSON is expected"),
        ("text/x+json", "{}", 415, "JSON is expected"),
        ("+json", "{}", 415, "JSON is expected"),
    ] {
        for target in ["/hosted", "/bare"] {
            let response = client.send("POST", target, &[("Content-Type", media_type)], content.as_bytes());
            if status == 0 {
                // A number out of range is data to one of them, and no number to the other.
                assert!(matches!(response.status(), 400 | 422), "{target}");
                continue;
            }
            assert_eq!(response.status(), status, "{target} {media_type} {content}: {}", response.text());
            let says_so = response.text().contains(text) || target == "/bare" && status == 422;
            assert!(says_so, "{target} {content}: {}", response.text());
            let expected = if status == 201 { "application/json" } else { "text/plain" };
            assert_eq!(response.field("Content-Type"), Some(expected));
        }
    }
    assert_eq!(client.post("/hosted", "{}").status(), 415, "content of no type");
}

#[test]
fn what_cannot_be_written_is_an_error_of_the_server() {
    let mut client = client();
    assert_eq!((client.get("/keys").status(), client.get("/long").status()), (500, 500));
    let json = [("Content-Type", "application/json")];
    let long = br#"{"name":"longer than its place","price":3}"#;
    assert_eq!(client.send("POST", "/bare", &json, long).status(), 500);
    assert_eq!(client.send("POST", "/hosted", &json, long).status(), 201);
}
