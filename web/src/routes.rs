//! Putting routes together.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use aurora_http_core::handler::{Around, Respond};
use aurora_http_core::request::Method;
use aurora_http_core::writer::ResponseWriter;

use crate::call::Call;
use crate::endpoint::{Behind, Each, Endpoint, Function, NoEndpoint, Pair};
use crate::site::Site;
use crate::table::Table;

/// Routes of a program, or of a part of it: see the [crate](crate) for what they mean.
///
/// `S` is the state that all functions are called with. Each call adds a route and gives another type, so that functions of
/// routes may go on with their exchanges in different ways. In a `const` block the compiler looks for mistakes:
///
/// ```compile_fail
/// # use aurora_http_core::writer::WriteError;
/// # use aurora_http_web::Routes;
/// let handler = const {
///     Routes::new()
///         .get("/a", |_, _, response| response.body("one"))
///         .get("/a", |_, _, response| response.body("another"))
/// }
/// .with_state(());
/// ```
///
/// Without it the program says so when it starts, by a panic that names the line. With more than 120 routes in one chain the
/// compiler demands a higher `recursion_limit`: [mount](Self::mount) them in groups, or add [many at once](Self::each).
#[must_use = "routes do nothing until `with_state` makes a handler of them"]
pub struct Routes<S, E, const N: usize = 64> {
    table: Table<N>,
    /// Only so that these functions can be `const`: taken out by the next one, or by `with_state`. The endpoints of routes
    /// that are dropped before that are not dropped, but forgotten.
    endpoints: ManuallyDrop<E>,
    state: PhantomData<fn(&mut S)>,
}

impl<S> Routes<S, NoEndpoint> {
    /// No route yet, and room for 63 of them.
    pub const fn new() -> Self {
        Self::with_room()
    }
}

impl<S> Default for Routes<S, NoEndpoint> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, const N: usize> Routes<S, NoEndpoint, N> {
    /// No route yet, and room for others than 63: `Routes::<_, _, 256>::with_room()` has it for 255 routes, and as many
    /// different segments. That takes about 70 bytes for each, and where the compiler does not optimise, twice as much of the
    /// stack for each step of a chain: put large ones in a `const` block, which takes none.
    pub const fn with_room() -> Self {
        Self { table: Table::empty(), endpoints: ManuallyDrop::new(NoEndpoint), state: PhantomData }
    }
}

impl<S, E, const N: usize> Routes<S, E, N> {
    /// Answers GET, and HEAD unless that has a route of its own, by a function. Where there is content it is called once that
    /// is there: [`Call::content`].
    ///
    /// # Panics
    /// When the path is malformed, is there already, contradicts another one, or has no room. So do the other methods.
    #[track_caller]
    pub const fn get<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Get, path, Function(function))
    }

    /// Answers POST by a function, which is called once the content is there: [`Call::content`].
    #[track_caller]
    pub const fn post<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Post, path, Function(function))
    }

    /// Answers PUT by a function, which is called once the content is there.
    #[track_caller]
    pub const fn put<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Put, path, Function(function))
    }

    /// Answers PATCH by a function, which is called once the content is there.
    #[track_caller]
    pub const fn patch<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Patch, path, Function(function))
    }

    /// Answers DELETE by a function, which is called once the content, if there is any, is there.
    #[track_caller]
    pub const fn delete<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Delete, path, Function(function))
    }

    /// Answers any method by any endpoint: a [`streaming`](crate::streaming) function, a [`handler`](crate::handler), or an
    /// [`Endpoint`](crate::Endpoint) of the program's own.
    #[track_caller]
    pub const fn on<F: Endpoint<S>>(
        mut self,
        method: Method<'static>,
        path: &'static str,
        endpoint: F,
    ) -> Routes<S, Pair<E, F>, N> {
        self.table.add(method, path);
        let Self { table, endpoints, state } = self;
        let endpoints = ManuallyDrop::new(Pair(ManuallyDrop::into_inner(endpoints), endpoint));
        Routes { table, endpoints, state }
    }

    /// Adds many routes whose functions have one type: function pointers, or what a function that makes closures returns.
    ///
    /// ```
    /// use aurora_http_core::request::Method;
    /// use aurora_http_core::writer::{ResponseWriter, WriteError};
    /// use aurora_http_web::{Call, Routes};
    ///
    /// type Page = fn(&mut (), &Call<'_>, &mut ResponseWriter<'_>) -> Result<(), WriteError>;
    /// let pages: [(Method<'_>, &str, Page); 2] = [
    ///     (Method::Get, "/one", |_, _, response| response.body("1")),
    ///     (Method::Get, "/two", |_, _, response| response.body("2")),
    /// ];
    /// let handler = Routes::new().each(pages).with_state(());
    /// ```
    #[track_caller]
    pub fn each<F, R, const M: usize>(
        mut self,
        routes: [(Method<'static>, &'static str, F); M],
    ) -> Routes<S, Pair<E, Each<F, M>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        for (method, path, _) in &routes {
            self.table.add(*method, path);
        }
        let each = Each(routes.map(|(_, _, function)| function));
        let endpoints = ManuallyDrop::new(Pair(ManuallyDrop::into_inner(self.endpoints), each));
        Routes { table: self.table, endpoints, state: self.state }
    }

    /// Adds the routes of another part of the program below a path, which may have parameters. Their path `/` is that path
    /// itself.
    #[track_caller]
    pub const fn mount<F, const M: usize>(
        mut self,
        path: &'static str,
        routes: Routes<S, F, M>,
    ) -> Routes<S, Pair<E, F>, N> {
        self.table.add_below(path, &routes.table);
        let Self { table, endpoints, state } = self;
        let Routes { endpoints: below, .. } = routes;
        let endpoints = Pair(ManuallyDrop::into_inner(endpoints), ManuallyDrop::into_inner(below));
        Routes { table, endpoints: ManuallyDrop::new(endpoints), state }
    }

    /// Puts `outer` around the routes so far, and around no answer but theirs: [mounted](Self::mount), they have a guard or a
    /// limit of their own.
    pub const fn behind<A: Around>(self, outer: A) -> Routes<S, Behind<A, E>, N> {
        let Self { table, endpoints, state } = self;
        let endpoints = ManuallyDrop::new(Behind { outer, inner: ManuallyDrop::into_inner(endpoints) });
        Routes { table, endpoints, state }
    }

    /// A handler that answers by these routes.
    pub const fn with_state(self, state: S) -> Site<S, E, N>
    where
        E: Endpoint<S>,
    {
        Site::new(self.table.sealed(), ManuallyDrop::into_inner(self.endpoints), state)
    }
}

impl<S, E, const N: usize> core::fmt::Debug for Routes<S, E, N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Routes").field("routes", &self.table.len()).finish_non_exhaustive()
    }
}
