//! Routes as a client sees them.

use aurora_http::testing::Client;
use aurora_http_core::handler::{Handler, Progress, handler_fn, producing, receiving};
use aurora_http_core::request::Method;
use aurora_http_core::writer::{ResponseWriter, WriteError};
use aurora_http_web::{Call, Routes, handler, streaming};

type Answer = Result<(), WriteError>;

/// Answers with the name of the route and its parameters.
macro_rules! says {
    ($name:literal $(, $param:literal)*) => {
        |_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>| -> Answer {
            let _ = call;
            #[allow(unused_mut)]
            let mut text = String::from($name);
            $(text += &format!(" {}={}", $param, call.param::<String>($param)?);)*
            response.body(text)
        }
    };
}

#[test]
fn a_path_leads_to_the_route_that_says_most_about_it() {
    let site = const {
        Routes::new()
            .get("/", says!("root"))
            .get("/items", says!("items"))
            .get("/items/", says!("slash"))
            .get("/items/:id", says!("item", "id"))
            .get("/items/new", says!("new"))
            .get("/items/:id/parts/:part", says!("part", "id", "part"))
            .get("/items/new/parts", says!("new parts"))
            .get("/files/*path", says!("file", "path"))
            .get("/files/index", says!("index"))
            .get("/files/index/:page/end", says!("page", "page"))
            .get("/a//b", says!("empty"))
            .get("/caf\u{e9} au lait", says!("cafe"))
    };
    let mut client = Client::new(site.with_state(()));
    let rows = [
        ("/", "root"),
        ("/?a=b", "root"),
        ("/items", "items"),
        ("/items/", "slash"),
        ("/items/7", "item id=7"),
        ("/items/new", "new"),
        ("/items/newer", "item id=newer"),
        ("/items/ne", "item id=ne"),
        ("/items/7/parts/wheel", "part id=7 part=wheel"),
        // One step back: `new` has no part of its own.
        ("/items/new/parts/wheel", "part id=new part=wheel"),
        ("/items/new/parts", "new parts"),
        ("/files/", "file path="),
        ("/files/a/b//c", "file path=a/b//c"),
        ("/files/index", "index"),
        ("/files/index/", "file path=index/"),
        ("/files/index/2/end", "page page=2"),
        ("/files/index/2/start", "file path=index/2/start"),
        ("/a//b", "empty"),
        // Escapes are decoded behind the split.
        ("/%69tems/%37", "item id=7"),
        ("/items/a%2Fb", "item id=a/b"),
        ("/items/a%2fb/parts/c", "part id=a/b part=c"),
        ("/items%2F7", "404"),
        ("/caf%C3%A9%20au%20lait", "cafe"),
        ("/items/a+b", "item id=a+b"),
        ("/items/%C3%A9", "item id=\u{e9}"),
        ("/files/a%2fb/c", "file path=a/b/c"),
        ("/items/...", "item id=..."),
        ("/items/.a", "item id=.a"),
        // No route.
        ("/nothing", "404"),
        ("/Items", "404"),
        ("/items/7/", "404"),
        ("/items//parts/x", "404"),
        ("/items/7/parts/", "404"),
        ("/files", "404"),
        ("//", "404"),
        ("/a/b", "404"),
        // Malformed, and what would leave a directory.
        ("/items/%", "400"),
        ("/items/%2", "400"),
        ("/items/%zz", "400"),
        ("/nothing/%+1", "400"),
        ("/items/..", "400"),
        ("/items/%2e%2E", "400"),
        ("/items/.%2e/x", "400"),
        ("/files/a/../../b", "400"),
        ("/./items", "400"),
        // No text.
        ("/items/%ff", "400"),
    ];
    for (target, expected) in rows {
        let response = client.get(target);
        match expected.parse::<u16>() {
            Ok(status) => assert_eq!(response.status(), status, "{target}"),
            Err(_) => assert_eq!((response.status(), response.text()), (200, expected), "{target}"),
        }
    }
}

#[test]
fn methods_are_answered_where_they_are_not_routed() {
    let brew = Method::Extension("BREW");
    let routes = Routes::new()
        .get("/both", says!("get"))
        .post("/both", says!("post"))
        .put("/put", says!("put"))
        .patch("/put", says!("patch"))
        .delete("/put", says!("delete"))
        .on(brew, "/pot", handler(handler_fn(|_, response| response.body("tea"))))
        .get("/own", says!("get"))
        .on(Method::Head, "/own", handler(handler_fn(|_, response| response.field("X-Own", "1"))))
        .on(Method::Options, "/own", handler(handler_fn(|_, response| response.body("mine"))));
    let mut client = Client::new(routes.with_state(()));
    let rows = [
        ("GET", "/both", 200, None),
        ("POST", "/both", 200, None),
        ("HEAD", "/both", 200, None),
        ("OPTIONS", "/both", 204, Some("GET, HEAD, POST, OPTIONS")),
        ("DELETE", "/both", 405, Some("GET, HEAD, POST, OPTIONS")),
        ("TRACE", "/both", 405, Some("GET, HEAD, POST, OPTIONS")),
        ("GET", "/put", 405, Some("PUT, PATCH, DELETE, OPTIONS")),
        ("HEAD", "/put", 405, Some("PUT, PATCH, DELETE, OPTIONS")),
        ("BREW", "/pot", 200, None),
        ("BREW", "/both", 405, Some("GET, HEAD, POST, OPTIONS")),
        ("GET", "/pot", 405, Some("BREW, OPTIONS")),
        ("BREW", "/nowhere", 404, None),
        ("MEOW", "/both", 501, None),
        ("MEOW", "/nowhere", 501, None),
        ("get", "/both", 501, None),
        ("OPTIONS", "/nowhere", 404, None),
        ("OPTIONS", "*", 204, Some("GET, HEAD, POST, PUT, PATCH, DELETE, BREW, OPTIONS")),
        ("OPTIONS", "http://localhost", 204, Some("GET, HEAD, POST, PUT, PATCH, DELETE, BREW, OPTIONS")),
        ("OPTIONS", "http://localhost/put", 204, Some("PUT, PATCH, DELETE, OPTIONS")),
        ("GET", "http://localhost/both?x", 200, None),
        ("CONNECT", "localhost:80", 501, None),
        ("OPTIONS", "/own", 200, None),
    ];
    for (method, target, status, allow) in rows {
        let response = client.send(method, target, &[], b"");
        assert_eq!((response.status(), response.field("Allow")), (status, allow), "{method} {target}");
    }
    let head = client.head("/both");
    assert_eq!((head.field("Content-Length"), head.content()), (Some("3"), &b""[..]));
    assert_eq!(client.head("/own").field("X-Own"), Some("1"));
}

/// A part of a program that is mounted.
fn parts() -> Routes<(), impl aurora_http_web::Endpoint<()>> {
    Routes::new().get("/", says!("parts", "id")).get("/:part", says!("part", "id", "part"))
}

#[test]
fn a_table_is_mounted_below_a_path() {
    let inner = Routes::new().get("/", says!("inner")).get("/x", says!("x")).mount("/items/:id/parts", parts());
    let routes =
        Routes::new().get("/", says!("root")).mount("/api/v1", inner).mount("/", Routes::new().get("/y", says!("y")));
    let mut client = Client::new(routes.with_state(()));
    for (target, expected) in [
        ("/", "root"),
        ("/y", "y"),
        ("/api/v1", "inner"),
        ("/api/v1/x", "x"),
        ("/api/v1/items/7/parts", "parts id=7"),
        ("/api/v1/items/7/parts/b", "part id=7 part=b"),
    ] {
        assert_eq!(client.get(target).text(), expected, "{target}");
    }
    for target in ["/api", "/api/v1/", "/x", "/api/v1/y"] {
        assert_eq!(client.get(target).status(), 404, "{target}");
    }
    assert_eq!(client.post("/api/v1/x", "").field("Allow"), Some("GET, HEAD, OPTIONS"));
}

struct Shop {
    visits: u32,
    names: Vec<String>,
}

#[test]
fn functions_share_a_state_and_have_the_content() {
    let routes = Routes::new()
        .get("/", |shop: &mut Shop, _, response| {
            shop.visits += 1;
            response.body(shop.visits.to_string())
        })
        .post("/names", |shop, call, response| {
            shop.names.push(String::from_utf8_lossy(call.content()).into_owned());
            response.status(201)
        })
        .get("/names/:number", |shop, call, response| {
            let number: usize = call.param("number")?;
            shop.names.get(number).map_or_else(|| response.fail(404), |_| Ok(()))?;
            response.body(&shop.names[number])
        })
        .get("/two/:a/:b", |_, call, response| {
            let (a, b): (u8, i8) = call.params(["a", "b"])?;
            response.body_fmt(format_args!("{a} {b}"))
        })
        .get("/wrong/:a", |_, call, response| {
            let b: u8 = call.param("b")?;
            response.body_fmt(format_args!("{b}"))
        });
    let mut client = Client::new(routes.with_state(Shop { visits: 0, names: Vec::new() }));
    assert_eq!((client.get("/").text(), client.get("/").text()), ("1", "2"));
    let long = "n".repeat(50_000);
    for name in ["tea", "", &long] {
        assert_eq!(client.post("/names", name).status(), 201);
    }
    assert_eq!((client.get("/names/0").text(), client.get("/names/2").text().len()), ("tea", 50_000));
    for (target, status) in [
        ("/names/9", 404),
        ("/names/x", 404),
        ("/names/-1", 404),
        ("/names/%30", 200),
        ("/two/255/-128", 200),
        ("/two/256/0", 404),
        ("/two/%ff/0", 400),
        ("/wrong/1", 500),
    ] {
        assert_eq!(client.get(target).status(), status, "{target}");
    }
    // A parameter with escapes that is longer than the room for it.
    assert_eq!(client.get(&format!("/two/{}/1", "%31".repeat(600))).status(), 414);
    assert_eq!(client.handler().state().names.len(), 3);
}

#[test]
fn routes_go_on_in_ways_of_their_own() {
    let routes = Routes::new()
        .get("/pieces/:count", |_: &mut (), call, response| {
            let mut left: usize = call.param("count")?;
            response.stream(None)?;
            Ok::<_, WriteError>(producing(move |response| {
                left -= response.write(&[b'p'; 1_000][..left.min(1_000)])?;
                Ok::<_, WriteError>(if left == 0 { Progress::Done } else { Progress::More })
            }))
        })
        .on(
            Method::Put,
            "/count",
            streaming(|_, _: &Call<'_>, _: &mut ResponseWriter<'_>| {
                let mut bytes = 0;
                receiving(move |content, response| {
                    bytes += content.bytes().len();
                    if content.ended() { response.body(bytes.to_string()) } else { Ok(()) }
                })
            }),
        )
        .get("/", says!("root"));
    let mut client = Client::new(routes.with_state(()));
    assert_eq!(client.get("/pieces/123456").content(), vec![b'p'; 123_456]);
    assert_eq!(client.send("PUT", "/count", &[], &vec![b'c'; 900_000]).text(), "900000");
    assert_eq!(client.get("/").text(), "root");
}

#[test]
fn many_routes_of_one_type_and_refusals_in_a_form_of_the_programs_own() {
    type Page = fn(&mut (), &Call<'_>, &mut ResponseWriter<'_>) -> Answer;
    let pages: [(Method<'static>, &'static str, Page); 3] = [
        (Method::Get, "/one", says!("1")),
        (Method::Get, "/two", says!("2")),
        (Method::Post, "/two", |_, call, response| response.body(call.content())),
    ];
    let routes = Routes::<_, _, 8>::with_room().get("/zero", says!("0")).each(pages).get("/three", says!("3"));
    let site = routes.with_state(()).on_refusal(|refusal, response| {
        response.status(refusal.status())?;
        response.body_fmt(format_args!("sorry: {}", refusal.status()))
    });
    let mut client = Client::new(site);
    for (target, text) in [("/zero", "0"), ("/one", "1"), ("/two", "2"), ("/three", "3"), ("/four", "sorry: 404")] {
        assert_eq!(client.get(target).text(), text);
    }
    assert_eq!(client.post("/two", "content").text(), "content");
    let response = client.post("/one", "");
    assert_eq!((response.text(), response.field("Allow")), ("sorry: 405", Some("GET, HEAD, OPTIONS")));
    assert!(client.exchange(b"no request\r\n\r\n").ends_with(b"sorry: 400"));
}

#[test]
fn routes_in_a_long_chain_compile_and_are_found() {
    macro_rules! chain {
        ($($digit:literal)*) => {
            Routes::<(), _, 256>::with_room()$(
                .get(concat!("/a", $digit), says!($digit))
                .get(concat!("/b", $digit, "/:x"), says!($digit, "x"))
                .post(concat!("/c", $digit), says!($digit))
                .get(concat!("/d", $digit), says!($digit))
            )*
        };
    }
    // In a `const` block, which takes no stack for the steps.
    let routes = const {
        chain!("0" "1" "2" "3" "4" "5" "6" "7" "8" "9" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20" "21" "22" "23" "24" "25" "26" "27" "28" "29")
    };
    let mut client = Client::new(routes.with_state(()));
    for digit in 0..30 {
        assert_eq!(client.get(&format!("/a{digit}")).text(), digit.to_string());
        assert_eq!(client.get(&format!("/b{digit}/q")).text(), format!("{digit} x=q"));
        assert_eq!(client.post(&format!("/c{digit}"), "x").text(), digit.to_string());
        assert_eq!(client.get(&format!("/d{digit}")).text(), digit.to_string());
    }
}

#[test]
fn an_exchange_takes_the_room_that_its_largest_route_needs() {
    fn exchange_bytes<H: Handler>(_: &H) -> usize {
        size_of::<H::Exchange>()
    }
    let few = || Routes::<(), _>::new().get("/a", says!("a")).post("/b", says!("b")).put("/c", says!("c"));
    let many = few().mount("/1", few()).mount("/2", few()).mount("/3", few());
    assert!(exchange_bytes(&many.with_state(())) <= 2, "functions that answer at once");
    let sized = few().get("/pieces", |_, _, _| {
        let state = [0_u64; 8];
        producing(move |_| Ok::<_, WriteError>(if state[0] == 0 { Progress::Done } else { Progress::More }))
    });
    let bytes = exchange_bytes(&sized.with_state(()));
    assert!((64..=80).contains(&bytes), "{bytes}");
}
