// Reads a log's folder with Go's own transparency-log packages and checks all of it: the signed checkpoints, every
// entry's inclusion from the tiles, proofs that were made elsewhere, and that older checkpoints are beginnings of the last.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// What is to be checked, as JSON on standard input.
type task struct {
	Folder      string       `json:"folder"`
	VerifierKey string       `json:"verifierKey"`
	Proofs      []inclusion  `json:"proofs"`
	Older       []consistent `json:"older"`
}

type inclusion struct {
	Index  int64    `json:"index"`
	Hashes []string `json:"hashes"`
}

type consistent struct {
	Checkpoint string   `json:"checkpoint"`
	Hashes     []string `json:"hashes"`
}

type head struct {
	size int64
	root tlog.Hash
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func openCheckpoint(text []byte, verifier note.Verifier) head {
	opened, err := note.Open(text, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return head{size, root}
}

func hashes(encoded []string) []tlog.Hash {
	var list []tlog.Hash
	for _, line := range encoded {
		hash, err := tlog.ParseHash(line)
		must(err)
		list = append(list, hash)
	}
	return list
}

// The tiles of the folder; Go's paths name the tiles' height, ours do not.
type folderTiles struct{ folder string }

func (f folderTiles) Height() int                        { return height }
func (f folderTiles) SaveTiles([]tlog.Tile, [][]byte)    {}
func (f folderTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(f.folder, path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func entries(folder string, size int64) [][]byte {
	var list [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		tile := tlog.Tile{H: height, L: -1, N: n, W: int(width)}
		path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(folder, path))
		must(err)
		for len(data) > 0 {
			length := int(data[0])<<8 | int(data[1])
			list = append(list, data[2:2+length])
			data = data[2+length:]
		}
	}
	return list
}

func main() {
	var work task
	must(json.NewDecoder(os.Stdin).Decode(&work))
	verifier, err := note.NewVerifier(work.VerifierKey)
	must(err)
	text, err := os.ReadFile(filepath.Join(work.Folder, "checkpoint"))
	must(err)
	last := openCheckpoint(text, verifier)
	reader := tlog.TileHashReader(tlog.Tree{N: last.size, Hash: last.root}, folderTiles{work.Folder})
	all := entries(work.Folder, last.size)
	if int64(len(all)) != last.size {
		must(fmt.Errorf("%d entries in the bundles, %d in the checkpoint", len(all), last.size))
	}
	for index, entry := range all {
		proof, err := tlog.ProveRecord(last.size, int64(index), reader)
		must(err)
		must(tlog.CheckRecord(proof, last.size, last.root, int64(index), tlog.RecordHash(entry)))
	}
	for _, given := range work.Proofs {
		leaf := tlog.RecordHash(all[given.Index])
		must(tlog.CheckRecord(hashes(given.Hashes), last.size, last.root, given.Index, leaf))
	}
	for _, given := range work.Older {
		older := openCheckpoint([]byte(given.Checkpoint), verifier)
		must(tlog.CheckTree(hashes(given.Hashes), last.size, last.root, older.size, older.root))
		own, err := tlog.ProveTree(last.size, older.size, reader)
		must(err)
		if !bytes.Equal(flat(own), flat(hashes(given.Hashes))) {
			must(fmt.Errorf("another consistency proof from %d", older.size))
		}
	}
	fmt.Printf(`{"entries":%d,"root":%q}`, len(all), base64.StdEncoding.EncodeToString(last.root[:]))
}

func flat(list []tlog.Hash) []byte {
	var all []byte
	for _, hash := range list {
		all = append(all, hash[:]...)
	}
	return all
}
