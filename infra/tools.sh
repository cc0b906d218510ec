# The Python programs that deploy and check, for scripts to source from the root of the repository. They are pinned, and each has a
# folder of its own under target/: their dependencies do not go together.
readonly SAM=1.170.0 CFN_LINT=1.58.0 CHECKOV=3.3.30 CARGO_LAMBDA=1.9.2 MINISTACK=1.5.33 SCHEMATHESIS=4.32.5 SAM_TRANSLATOR=1.115.0 CRYPTOGRAPHY=50.0.2

# Prints the folder of the programs of some packages, which is made where it is not there: tool NAME PACKAGE…
tool() {
  local folder="$PWD/target/$1"
  shift
  if [ ! -e "$folder/complete" ]; then
    echo "installing $* into $folder" >&2
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
    touch "$folder/complete"
  fi
  echo "$folder/bin"
}

sam_tool() { tool "sam-$SAM" "aws-sam-cli==$SAM"; }
