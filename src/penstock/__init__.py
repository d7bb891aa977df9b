from penstock._exceptions import *
from penstock._hotpath import IMPLEMENTATION as IMPLEMENTATION
from penstock.streams.memory import create_memory_object_stream as create_memory_object_stream
