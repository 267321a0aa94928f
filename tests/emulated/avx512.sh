#!/usr/bin/env bash
# Decides a recorded journal on an emulated AVX-512 processor (Bochs, Skylake-X) and compares the hashes with this one's.
#
# For machines without AVX-512: the instruction set is emulated, kernel, C library, Python, NumPy and the native module
# are the ones of this machine. Debian or Ubuntu, x86-64, after `make setup`; about half an hour. It needs
#   apt-get install bochs bochs-term isolinux syslinux-common genisoimage cpio busybox-static
# Exit codes: 0 the hashes agree, 1 they do not or the guest did not get so far, 2 a tool is missing.
set -euo pipefail

GUEST_S_MAX=${GUEST_S_MAX:-5400}
KERNEL_PACKAGE_FLAVOUR=cloud-amd64
VARIANTS="default other"
ISOLINUX=/usr/lib/ISOLINUX/isolinux.bin
LDLINUX=/usr/lib/syslinux/modules/bios/ldlinux.c32

root=$(cd "$(dirname "$0")/../.." && pwd)
python=$root/.venv/bin/python
work=${1:-$(mktemp -d)}
mkdir -p "$work" && cd "$work"

for tool in bochs genisoimage cpio busybox script; do
    command -v $tool > /dev/null || { echo "$tool is missing; the head of $0 names the packages" >&2; exit 2; }
done
for file in "$ISOLINUX" "$LDLINUX" "$python"; do
    [ -e "$file" ] || { echo "$file is missing; the head of $0 says what is needed" >&2; exit 2; }
done

echo "== journals and their hashes on this processor"
for variant in $VARIANTS; do
    "$python" -c "
from pathlib import Path
from walstreet.testing.arbiter_journal import record, write
write(Path('$variant.msgpack'), record('$variant'))"
    "$python" -m walstreet.testing.arbiter_journal replay "$variant.msgpack" "$variant" native > "here-$variant.json"
    cut -c1-180 "here-$variant.json"
done

echo "== guest: this machine's Python and libraries, Debian's kernel"
# The guest keeps every path of the host, so that nothing has to be told where it is.
guest=$work/guest
rm -rf "$guest" && mkdir -p "$guest"/{bin,proc,sys,dev,tmp,journals,lib64}
base=$("$python" -c 'import sys; print(sys.base_prefix)')
stdlib=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
interpreter=$("$python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
version=$(basename "$stdlib")
copy() { tar --exclude=site-packages --exclude=test --exclude=tests --exclude='config-*' -cf - "$@" 2> /dev/null | tar -xf - -C "$guest"; }
(cd / && copy "${interpreter#/}" "${stdlib#/}")
mkdir -p "$guest$site"
(cd "$site" && tar --exclude=tests -chf - numpy numpy.libs msgspec typing_extensions.py walstreet_native) | tar -xf - -C "$guest$site"
(cd "$root" && tar --exclude=__pycache__ -cf - proto/walstreet_events libs/walstreet) | (mkdir -p "$guest/walstreet" && tar -xf - -C "$guest/walstreet")
cp ./*.msgpack "$guest/journals/"
{ find "$guest" -name '*.so*' -type f; echo "$interpreter"; } | xargs ldd 2> /dev/null | grep -o '/[^ ]*\.so[^ :]*' | sort -u | while read -r library; do
    case $library in "$guest"*) ;; *) [ -e "$guest$library" ] || { [ -e "$library" ] && mkdir -p "$guest$(dirname "$library")" && cp -L "$library" "$guest$library"; } ;; esac
done || true
cp "$(command -v busybox)" "$guest/bin/busybox"
for name in sh mount grep poweroff echo cat; do ln -sf busybox "$guest/bin/$name"; done
cat > "$guest/init" << END
#!/bin/sh
mount -t proc proc /proc; mount -t tmpfs tmp /tmp; mount -t devtmpfs dev /dev
export PATH=/bin HOME=/tmp PYTHONHOME=$base PYTHONPATH=$site:/walstreet/proto:/walstreet/libs PYTHONHASHSEED=0 LD_LIBRARY_PATH=$base/lib
grep -m1 "model name" /proc/cpuinfo
$interpreter -c "import walstreet_native; print('levels', walstreet_native.available_levels())"
for variant in $VARIANTS; do
    WALSTREET_NATIVE_LEVEL=avx512 $interpreter -m walstreet.testing.arbiter_journal replay /journals/\$variant.msgpack \$variant native; echo
done
echo "the guest ends"; poweroff -f
END
chmod +x "$guest/init"
(cd "$guest" && find . | cpio -o -H newc 2> /dev/null | gzip -1 > "$work/initrd.gz")

package=$(apt-cache depends linux-image-$KERNEL_PACKAGE_FLAVOUR | awk '/Depends: linux-image/ {print $2; exit}')
apt-get download "$package" > /dev/null && dpkg-deb -x "$package"_*.deb kernel
mkdir -p iso/isolinux
cp kernel/boot/vmlinuz-* iso/vmlinuz && mv initrd.gz iso/ && cp "$ISOLINUX" "$LDLINUX" iso/isolinux/
# Bochs reports the size of the extended state as if it were not compacted (321: XSAVEC, 323: XSAVES); Linux would
# then do without any of AVX.
cat > iso/isolinux/isolinux.cfg << END
DEFAULT guest
LABEL guest
 KERNEL /vmlinuz
 INITRD /initrd.gz
 APPEND console=ttyS0 mitigations=off nokaslr tsc=unstable rdinit=/init quiet clearcpuid=321,323 panic=5
END
genisoimage -quiet -o guest.iso -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table iso
cat > bochsrc << END
megs: 2048
cpu: model=corei7_skylake_x, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$work/guest.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$work/serial.txt
log: $work/bochs.log
display_library: term
clock: sync=none
panic: action=fatal
END
echo c > continue
rm -f serial.txt

echo "== the guest runs (serial line: $work/serial.txt)"
# Bochs draws on a terminal that it opens itself and waits when nobody reads it; it answers SIGTERM with a prompt, and
# hides behind a wrapper in a session of its own.
TERM=xterm script -qfc 'bochs -q -rc continue -f bochsrc' screen.txt > /dev/null < /dev/null &
watched=$!
trap 'pkill -KILL -s "$(pgrep -P $watched | head -1)" 2> /dev/null || true' EXIT
until screen=$(grep -a -o -m1 '/dev/pts/[0-9]*' screen.txt 2> /dev/null) || ! kill -0 $watched 2> /dev/null; do sleep 1; done
cat "$screen" > /dev/null 2>&1 &
until grep -q "the guest ends" serial.txt 2> /dev/null || ! kill -0 $watched 2> /dev/null || [ $SECONDS -gt "$GUEST_S_MAX" ]; do
    sleep 5
done
grep -a -E "model name|levels|outputs_sha256|Error" serial.txt | cut -c1-180

failed=0
for variant in $VARIANTS; do
    want=$(grep -o '"outputs_sha256": "[0-9a-f]*", "state_digest": "[0-9a-f]*"' "here-$variant.json")
    if grep -a "native/avx512" serial.txt | grep -q -F "$want"; then echo "$variant: the same bytes"; else echo "$variant: NOT the same"; failed=1; fi
done
exit $failed
