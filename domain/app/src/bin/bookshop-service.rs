//! The bookshop on AWS: the program of every function, and of the container.

fn main() -> std::process::ExitCode {
    handlers::deployed::main(bookshop::app())
}
