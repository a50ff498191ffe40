create role coupa login password 'coupa';
create database coupa owner coupa;
\connect coupa
create schema rows authorization coupa;
create schema changes authorization coupa;
