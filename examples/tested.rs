//! A handler and its tests, without sockets: `cargo test --features testing --example tested`. It can also serve:
//! `cargo run --release --example tested`, then `curl -d '1 2 39' http://127.0.0.1:8080/sum`.

mod support;

use aurora_http::{Handler, Method, Request, ResponseWriter, ServerError, collect_fn};

/// Adds numbers.
fn sums() -> impl Handler {
    collect_fn(|request: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>| {
        if request.path() != b"/sum" {
            return response.fail(404);
        }
        if request.method() != Method::Post {
            response.status(405)?;
            response.field("Allow", "POST")?;
            return response.body("post numbers\n");
        }
        let numbers = str::from_utf8(content).unwrap_or("?").split_whitespace().map(str::parse::<i64>);
        match numbers.sum::<Result<i64, _>>() {
            Ok(sum) => response.body(sum.to_string()),
            Err(_) => response.fail(422),
        }
    })
}

fn main() -> Result<(), ServerError> {
    support::server("tested: POST /sum adds the numbers in the content").serve(|_worker| sums())?;
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use aurora_http::Limits;
    use aurora_http::testing::Client;

    use super::sums;

    #[test]
    fn numbers_are_added() {
        let mut client = Client::new(sums());
        assert_eq!(client.post("/sum", "1 2 39").text(), "42");
        assert_eq!(client.post("/sum", "").text(), "0");
    }

    #[test]
    fn content_other_than_numbers_is_refused() {
        assert_eq!(Client::new(sums()).post("/sum", "1 x").status(), 422);
        assert_eq!(Client::new(sums()).post("/sum", [0xff]).status(), 422);
    }

    #[test]
    fn other_targets_and_methods_are_refused() {
        let response = Client::new(sums()).get("/sum");
        assert_eq!((response.status(), response.field("Allow")), (405, Some("POST")));
        assert_eq!(Client::new(sums()).post("/", "1").status(), 404);
    }

    #[test]
    fn content_beyond_the_limit_is_refused() {
        let limits = Limits { content_collected_max: 4, ..Limits::default() };
        assert_eq!(Client::with_limits(sums(), limits).post("/sum", "12345").status(), 413);
    }
}
