"""Builds the pinned libraries for a target: static, position independent, and no more of them than we use."""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import sources, targets
from .sources import Source
from .targets import Target

SECTIONS = (
    "-fPIC -fvisibility=hidden -ffunction-sections -fdata-sections"
    " -fno-unwind-tables -fno-asynchronous-unwind-tables"
)
SMALL = f"-Oz {SECTIONS}"
FAST = f"-O2 {SECTIONS}"  # what each byte of a call goes through


def words(text: str) -> list[str]:
    return text.split()


# TLS 1.2 and 1.3 with the key exchanges, ciphers and certificates that both ends of ours may meet; no file of settings,
# nothing loaded at run time. /etc/ssl is only the last of the places where roots are looked for (io/tls_config.c).
OPENSSL_OPTIONS = words("""
    no-shared no-tests no-apps no-docs no-module no-dso no-legacy no-engine no-autoload-config
    no-ui-console no-ssl-trace no-http no-comp no-ktls no-multiblock no-nextprotoneg no-quic no-dtls no-srtp no-psk
    no-srp no-ssl3 no-tls1 no-tls1_1 no-tls-deprecated-ec no-dh no-dsa no-ec2m no-sm2 no-gost no-ml-dsa no-slh-dsa
    no-aria no-bf no-camellia no-cast no-des no-idea no-rc2 no-rc4 no-seed no-sm4 no-ocb no-siv
    no-argon2 no-blake2 no-cmac no-md4 no-mdc2 no-rmd160 no-scrypt no-siphash no-sm3 no-whirlpool
    no-cmp no-cms no-ct no-ocsp no-rfc3779 no-ts enable-ec_nistp_64_gcc_128
    no-thread-pool no-default-thread-pool no-filenames
    --openssldir=/etc/ssl --libdir=lib
""")
# With no-filenames: an error has neither the file nor the function of OpenSSL's in it, which we never show.
NAMELESS = "-DOPENSSL_FUNC=OPENSSL_FILE"

SQLITE_OPTIONS = words("""
    -DSQLITE_THREADSAFE=1 -DSQLITE_DQS=0 -DSQLITE_MAX_EXPR_DEPTH=0 -DSQLITE_DEFAULT_MEMSTATUS=0
    -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_SHARED_CACHE -DSQLITE_OMIT_JSON
    -DSQLITE_OMIT_TRACE -DSQLITE_OMIT_DESERIALIZE -DSQLITE_OMIT_AUTHORIZATION -DSQLITE_OMIT_GET_TABLE
    -DSQLITE_OMIT_COMPLETE -DSQLITE_OMIT_UTF16 -DSQLITE_OMIT_TCL_VARIABLE -DSQLITE_OMIT_PROGRESS_CALLBACK
    -DSQLITE_OMIT_WINDOWFUNC -DSQLITE_OMIT_VIRTUALTABLE -DSQLITE_OMIT_EXPLAIN -DSQLITE_OMIT_ANALYZE
    -DSQLITE_OMIT_DATETIME_FUNCS -DSQLITE_OMIT_INCRBLOB -DSQLITE_OMIT_GENERATED_COLUMNS
""")

LIBARCHIVE_WITHOUT = words("""
    ZLIB BZip2 LZMA ZSTD LZ4 LZO LIBB2 LIBXML2 EXPAT PCREPOSIX PCRE2POSIX OPENSSL MBEDTLS NETTLE ACL CNG WIN32_XMLLITE
    TAR CPIO CAT UNZIP TEST INSTALL_DOCS
""")


@dataclass(frozen=True)
class Build:
    """One library being built."""

    target: Target
    source: Source
    tree: Path
    prefix: Path
    env: dict[str, str]

    def run(self, *command: str | Path, **more: str) -> None:
        log = self.prefix / "log"
        with log.open("a") as out:
            done = subprocess.run(
                [str(word) for word in command],
                cwd=self.tree,
                env=self.env | more,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise SystemExit(
                f"{tail}\n{self.source.name}: `{command[0]}` failed; all of it is in {log}"
            )

    def cmake(self, flags: str, *options: str) -> None:
        tools = Path(sys.executable).parent
        self.run(
            tools / "cmake", "-G", "Ninja", "-S", ".", "-B", "out",
            f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}", f"-DCMAKE_INSTALL_PREFIX={self.prefix}",
            "-DCMAKE_INSTALL_LIBDIR=lib", "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_C_FLAGS={flags}",
            "-DCMAKE_SYSTEM_NAME=Linux", f"-DCMAKE_SYSTEM_PROCESSOR={self.target.machine}",
            f"-DCMAKE_C_COMPILER={self.env['CC']}", f"-DCMAKE_AR={self.env['AR']}",
            f"-DCMAKE_RANLIB={self.env['RANLIB']}", f"-DCMAKE_FIND_ROOT_PATH={self.prefix}",
            "-DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY", "-DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY",
            "-DCMAKE_POLICY_VERSION_MINIMUM=3.5", "-DBUILD_SHARED_LIBS=OFF", *options,
        )  # fmt: skip
        self.run(tools / "cmake", "--build", "out", f"-j{jobs()}")
        self.run(tools / "cmake", "--install", "out")

    def archive(self, flags: str, *files: str) -> None:
        """Compiles `files` into lib<name>.a."""
        for file in files:
            self.run(
                self.env["CC"], *flags.split(), "-I.", "-c", file, "-o", f"{Path(file).stem}.o"
            )
        library = self.prefix / "lib" / f"lib{self.source.name.removeprefix('lib')}.a"
        library.parent.mkdir(parents=True, exist_ok=True)
        self.run(self.env["AR"], "rcs", library, *(f"{Path(file).stem}.o" for file in files))

    def replace(self, file: str, old: str, new: str, times: int = 1) -> None:
        path = self.tree / file
        text = path.read_text()
        if (found := text.count(old)) != times:
            raise SystemExit(f"{self.source.name}: {file} has '{old}' {found} times, not {times}")
        path.write_text(text.replace(old, new))

    def headers(self, *files: str, below: str = "") -> None:
        folder = self.prefix / "include" / below
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(self.tree / file, folder)

    def pkg_config(self, module: str, libs: str) -> None:
        path = self.prefix / "lib/pkgconfig" / f"{module}.pc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"prefix={self.prefix}\nName: {module}\nDescription: {self.source.name}, static\n"
            f"Version: {self.source.version}\nLibs: -L${{prefix}}/lib {libs}\nCflags: -I${{prefix}}/include\n"
        )


def jobs() -> int:
    return len(os.sched_getaffinity(0))


def leave_out(build: Build) -> None:
    """What only makes OpenSSL faster or is there for protocols of others, and is large: a wheel has all of it twice."""
    # AES for AVX-512 is 0.7 MB of machine code, a quarter of what we use; the one for AES-NI stays.
    build.replace("crypto/modes/asm/aes-gcm-avx512.pl", "if ($avx512vaes>0) {", "if (0) {")
    build.replace("crypto/aes/asm/aesni-xts-avx512.pl", "if ($avx512vaes) {", "if (0) {")
    # P-256 with a table of 150 KB that cannot be compressed; the portable one has none.
    for machine, file in (("x86_64", "ecp_nistz256-x86_64.s"), ("aarch64", "ecp_nistz256-armv8.S")):
        build.replace("crypto/ec/build.info", f"{machine}=ecp_nistz256.c {file}", f"{machine}=")
        build.replace("crypto/ec/build.info", f"{machine}=ECP_NISTZ256_ASM", f"{machine}=")
    # The other curves of that kind are rare: the code that fits all curves will do.
    for method in ("EC_GFp_nistp224", "ossl_ec_GFp_nistp384", "EC_GFp_nistp521"):
        build.replace("crypto/ec/ec_curve.c", f" {method}_method,", " 0,", times=2)
    # RSA for AVX2 and AVX-512: a signature takes 0.4 ms without it, 0.2 with.
    build.replace("crypto/bn/rsaz_exp.h", "#define RSAZ_ENABLED\n", "\n")
    # SHA-1 and SHA-512 for AVX, AVX2 and XOP: only handshakes and certificates use them.
    build.replace("crypto/sha/asm/sha1-x86_64.pl", "$shaext=1;", "$shaext=1; $avx=0;")
    sha512 = "$avx=0 if ($output =~ /512/);"
    build.replace("crypto/sha/asm/sha512-x86_64.pl", "$shaext=1;", f"$shaext=1; {sha512}")
    # AES for the first processors without AES-NI, which have vpaes as well.
    build.replace("crypto/aes/build.info", "VPAES_ASM BSAES_ASM\n", "VPAES_ASM\n")
    # CBC ciphers of TLS 1.2, which nobody offers here.
    cbc = "define AES_CBC_HMAC_SHA_CAPABLE 1"
    build.replace("include/crypto/aes_platform.h", f"#{cbc}", f"/* no {cbc} */")
    for hash in ("sha1", "sha256"):
        file = f"crypto/evp/e_aes_cbc_hmac_{hash}.c"
        build.replace(file, "#if defined(AES_ASM) && (", "#if 0 && (")


def build_openssl(build: Build) -> None:
    leave_out(build)
    # Its own makefiles would take -j from a make above us for theirs.
    build.run(
        "perl", "Configure", f"linux-{build.target.machine}", *OPENSSL_OPTIONS,
        f"--prefix={build.prefix}", f"CFLAGS={SMALL} {NAMELESS}",
    )  # fmt: skip
    build.run("make", f"-j{jobs()}", "build_libs", MAKEFLAGS="")
    build.run("make", "install_dev", MAKEFLAGS="")


def build_nghttp2(build: Build) -> None:
    build.cmake(
        FAST + " -DNGHTTP2_STATICLIB", "-DENABLE_LIB_ONLY=ON", "-DBUILD_STATIC_LIBS=ON",
        "-DENABLE_DOC=OFF", "-DBUILD_TESTING=OFF",
    )  # fmt: skip
    build.pkg_config("libnghttp2", "-lnghttp2")


def build_protobuf_c(build: Build) -> None:
    build.archive(FAST, "protobuf-c/protobuf-c.c")
    build.headers("protobuf-c/protobuf-c.h", below="protobuf-c")
    build.pkg_config("libprotobuf-c", "-lprotobuf-c")


def build_libuv(build: Build) -> None:
    build.cmake(
        FAST, "-DLIBUV_BUILD_SHARED=OFF", "-DLIBUV_BUILD_TESTS=OFF", "-DLIBUV_BUILD_BENCH=OFF"
    )
    build.pkg_config("libuv", "-luv -lpthread -ldl -lrt")


def build_jansson(build: Build) -> None:
    build.cmake(
        SMALL, "-DJANSSON_BUILD_DOCS=OFF", "-DJANSSON_WITHOUT_TESTS=ON", "-DJANSSON_EXAMPLES=OFF",
    )  # fmt: skip
    build.pkg_config("jansson", "-ljansson")


def build_libyaml(build: Build) -> None:
    build.cmake(SMALL, "-DBUILD_TESTING=OFF")
    build.pkg_config("yaml-0.1", "-lyaml")


def build_sqlite(build: Build) -> None:
    # One file out of its many, made by programs that run here.
    host = {"CC": "cc", "AR": "ar", "RANLIB": "ranlib", "PKG_CONFIG": "pkg-config"}
    build.run("sh", "configure", "--disable-tcl", "--disable-readline", **host)
    build.run(
        "make", "sqlite3.c", f"OPT_FEATURE_FLAGS={' '.join(SQLITE_OPTIONS)}", MAKEFLAGS="", **host
    )
    build.archive(" ".join([SMALL, *SQLITE_OPTIONS]), "sqlite3.c")
    library = build.prefix / "lib/libsqlite.a"
    library.rename(library.with_name("libsqlite3.a"))
    build.headers("sqlite3.h")
    build.pkg_config("sqlite3", "-lsqlite3 -lpthread -lm")


def build_libarchive(build: Build) -> None:
    without = (f"-DENABLE_{part}=OFF" for part in LIBARCHIVE_WITHOUT)
    build.cmake(SMALL, "-DPOSIX_REGEX_LIB=NONE", *without)
    build.pkg_config("libarchive", "-larchive")


RECIPES: dict[str, Callable[[Build], None]] = {
    "openssl": build_openssl,
    "nghttp2": build_nghttp2,
    "protobuf-c": build_protobuf_c,
    "libuv": build_libuv,
    "jansson": build_jansson,
    "libyaml": build_libyaml,
    "sqlite": build_sqlite,
    "libarchive": build_libarchive,
}


def requirements() -> list[str]:
    return Path(__file__).with_name("requirements.txt").read_text().splitlines()


def key(target: Target, source: Source) -> str:
    """Differs where what is built would differ: the pin, the recipe and what it uses, the compiler."""
    recipe = inspect.getsource(RECIPES[source.name])
    used = {
        "SMALL": SMALL,
        "FAST": FAST,
        "OPENSSL_OPTIONS": repr(OPENSSL_OPTIONS),
        "NAMELESS": NAMELESS,
        "leave_out": inspect.getsource(leave_out),
        "SQLITE_OPTIONS": repr(SQLITE_OPTIONS),
        "LIBARCHIVE_WITHOUT": repr(LIBARCHIVE_WITHOUT),
    }
    parts = [target.triple, repr(source), recipe]
    parts += [value for name, value in used.items() if name in recipe]
    parts += [inspect.getsource(part) for part in (Build, targets.write_compiler)]
    parts += [line for line in requirements() if line.startswith(("ziglang", "cmake"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def build(target: Target, source: Source, folder: Path) -> Path:
    """The library's prefix, from an earlier run if nothing about it has changed."""
    prefix = folder / f"deps-{key(target, source)}"
    if (prefix / "complete").exists():
        return prefix
    shutil.rmtree(prefix, ignore_errors=True)
    print(f"{target.platform}: {source.name} {source.version}", flush=True)
    compiler = targets.write_compiler(target, folder / "bin" / target.platform)
    env = targets.environment(compiler, [], folder / "zig-cache")
    tree = prefix / "src"
    sources.unpack(sources.fetch(source, folder / "archives"), tree)
    RECIPES[source.name](Build(target, source, tree, prefix, env))
    licences = prefix / "licences"
    licences.mkdir()
    for name in source.licence_files:
        shutil.copy(tree / name, licences)
    shutil.rmtree(tree)
    (prefix / "complete").touch()
    return prefix


def build_all(target: Target, folder: Path) -> dict[str, Path]:
    """The prefix of each library by its name."""
    return {source.name: build(target, source, folder) for source in sources.load()}
