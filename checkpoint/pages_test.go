package checkpoint

import (
	"os"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// Keys and values have checksums; what bbolt keeps beside them has none. Each of these
// files gives every key and value, from the first to the last, and is damaged all the same.
func TestDamageThatNoChecksumTellsOfIsFound(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(file []byte, pages map[string][]uint64){
		// a look-up would go down the wrong branch, and not find what is there
		"a key of a branch": func(file []byte, pages map[string][]uint64) {
			for _, id := range pages["branch"] {
				b := file[id*4096:]
				at := pageHeader + elementLen // the second element
				pos, size := native.Uint32(b[at:]), native.Uint32(b[at+4:])
				key := b[at+int(pos) : at+int(pos)+int(size)]
				for i := range key {
					key[i] = 0xff
				}
			}
		},
		// the next commit would write over it
		"a page in use that is listed as free": func(file []byte, pages map[string][]uint64) {
			for _, id := range pages["freelist"] {
				native.PutUint64(file[id*4096+pageHeader:], pages["leaf"][0])
			}
		},
		// freeing it would free its neighbour
		"a page that claims the next one": func(file []byte, pages map[string][]uint64) {
			native.PutUint32(file[pages["leaf"][0]*4096+12:], 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			pages := pagesOf(t, path)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spoil(file, pages)
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			s := openTest(t, path)
			if !strings.Contains(s.Aside(), "it is damaged") {
				t.Errorf("set aside: %q", s.Aside())
			}
		})
	}
}

// The format is bbolt's own affair: what checkPages takes it to be
// must be what the bbolt that this program is built with writes.
func TestPagesAreWhatBboltSaysTheyAre(t *testing.T) {
	t.Parallel()
	path := filled(t)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range [][]byte{file, file[4096:]} {
		if magic, version := native.Uint32(meta[pageHeader:]), native.Uint32(meta[pageHeader+4:]); magic != 0xED0CDAED || version != 2 {
			t.Errorf("magic %#x, version %d", magic, version)
		}
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := checkPages(db); err != nil {
		t.Error(err)
	}
	types := map[uint16]string{branchPage: "branch", leafPage: "leaf", freelistPage: "freelist"}
	keys, free := map[string]int{}, map[uint64]int{}
	if err := db.View(func(tx *bbolt.Tx) error {
		for id := firstPage; ; id++ {
			theirs, err := tx.Page(id)
			if theirs == nil || err != nil {
				return err
			}
			if theirs.Type == "free" {
				free[uint64(id)]++
				continue
			}
			p := file[id*4096:]
			flags, count, overflow := native.Uint16(p[8:]), int(native.Uint16(p[10:])), int(native.Uint32(p[12:]))
			if native.Uint64(p) != uint64(id) || types[flags] != theirs.Type || count != theirs.Count || overflow != theirs.OverflowCount {
				t.Errorf("page %d: flags %#x, count %d, overflow %d; bbolt says %+v", id, flags, count, overflow, theirs)
			}
			at := page{id: uint64(id), data: p[:4096*(1+overflow)]}
			switch flags {
			case leafPage:
				for i := range count {
					e, err := at.element(i)
					if err != nil {
						return err
					}
					key, err := at.slice(e, native.Uint32(p[e+4:]), native.Uint32(p[e+8:]))
					if err != nil {
						return err
					}
					keys[string(key)]++
				}
			case freelistPage:
				for i := range count {
					free[native.Uint64(p[pageHeader+8*i:])]--
				}
			}
			id += overflow
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			keys[string(name)]--
			if b.Root() == 0 {
				return nil // its page is part of its entry
			}
			return b.ForEach(func(k, _ []byte) error { keys[string(k)]--; return nil })
		})
	}); err != nil {
		t.Fatal(err)
	}
	for id, n := range free {
		if n != 0 {
			t.Errorf("page %d is free to one alone", id)
		}
	}
	for key, n := range keys {
		if n != 0 {
			t.Errorf("key %x: read %d times more than bbolt gives it", key, n)
		}
	}
}

// pagesOf lists the pages of a file by what bbolt says that they are.
func pagesOf(t *testing.T, path string) map[string][]uint64 {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pages := map[string][]uint64{}
	if err := db.View(func(tx *bbolt.Tx) error {
		for id := 0; ; id++ {
			p, err := tx.Page(id)
			if p == nil || err != nil {
				return err
			}
			pages[p.Type] = append(pages[p.Type], uint64(id))
		}
	}); err != nil {
		t.Fatal(err)
	}
	return pages
}
