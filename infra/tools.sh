# The Python programs that deploy and check, for scripts to source from the root of the repository. Each has a folder of its own
# under target/, because their dependencies conflict. infra/tools/NAME.txt pins all packages of one, with their hashes. To update:
#
#   echo 'cfn-lint==VERSION' | uv pip compile --generate-hashes --universal --python-version 3.11 --no-header --no-annotate - \
#     -o infra/tools/cfn-lint.txt

# Prints the folder of a tool's programs, which is made where it is missing or has other versions: tool NAME
tool() {
  local pins="infra/tools/$1.txt" folder="$PWD/target/python/$1"
  if ! cmp --silent "$pins" "$folder/installed"; then
    echo "installing $1 into $folder" >&2
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement "$pins" >&2
    cp "$pins" "$folder/installed"
  fi
  echo "$folder/bin"
}
